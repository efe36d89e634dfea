"""The same answers over a WebSocket, with one question for each connection.

    client:  {"question": "Why?", "timeout_ms": 20000}     first; timeout_ms may be left out
             {"type": "stop"}                              at any later time; or it disconnects
    server:  {"type": "token", "text": "…"}
             {"type": "done", "finish_reason": "stop"}     or
             {"type": "stopped"}                           or
             {"type": "error", "error": {"type": "…", "message": "…"}}

A question has a budget of its own, and its client can stop it. So one task listens while another
one answers. The middleware ends the model's call when the client disconnects.
"""

import asyncio
import logging
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.websockets import WebSocketState
from pydantic import Field, ValidationError
from stream_deadline import deadline
from stream_deadline.asgi import error_response_for

from relay.chain import Chain, Question, answer
from relay.settings import Settings

FIRST_MESSAGE_WITHIN: Final = 10.0
"""Seconds within which a client must send its question."""
LONGEST_TIMEOUT_MS: Final = 99_999_999
"""As in the header X-Timeout-Ms, which has at most eight digits; a float has no room for 400."""
GRACE: Final = 0.1
"""Seconds after the deadline in which the model may still report the error, since it knows more."""

_log = logging.getLogger(__name__)


class FirstMessage(Question):
    """The first message of a client.

    Attributes:
        timeout_ms: how many milliseconds it will wait. None: as long as the settings allow.
    """

    timeout_ms: int | None = Field(default=None, gt=0, le=LONGEST_TIMEOUT_MS)


async def serve(socket: WebSocket, chain: Chain, settings: Settings) -> None:
    """Serve one connection, from the first message to the last."""
    if not _is_from_here(socket):
        await socket.close(1008)
        return
    await socket.accept()
    try:
        await socket.send_json(await _answer(socket, chain, settings))
        await socket.close()
    # Starlette and some servers raise RuntimeError for a message to a client that has disconnected.
    except (WebSocketDisconnect, RuntimeError) as error:
        if isinstance(error, RuntimeError) and await _could_be_closed(socket):
            raise  # the client is there, so it is a defect of ours
        _log.info("the client of a WebSocket disconnected (%s)", error)


async def _answer(socket: WebSocket, chain: Chain, settings: Settings) -> dict[str, Any]:
    """Send all messages but the last, which is returned.

    Raises:
        WebSocketDisconnect: the client disconnected.
    """
    try:
        async with asyncio.timeout(FIRST_MESSAGE_WITHIN):
            text = await socket.receive_text()
        if len(text.encode()) > settings.max_body_bytes:
            return _error("body_too_large", f"A message may have {settings.max_body_bytes} bytes.")
        question = FirstMessage.model_validate_json(text)
    except TimeoutError:
        return _error("no_question", f"No question came within {FIRST_MESSAGE_WITHIN:g} s.")
    except (ValidationError, KeyError):  # Starlette raises KeyError for bytes
        return _error(
            "bad_request", 'The first message must be JSON: {"question": "…", "timeout_ms": 20000}.'
        )
    limit = (
        settings.max_timeout
        if question.timeout_ms is None
        else min(question.timeout_ms / 1000, settings.max_timeout)
    )
    with deadline(limit):  # tasks inherit it
        work = asyncio.create_task(_tokens(socket, chain, question))
        stop = asyncio.create_task(_until_stopped(socket))
    try:
        await asyncio.wait((work, stop), timeout=limit + GRACE, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return {"type": "done", "finish_reason": work.result()}
        if stop.done():
            return stop.result()
        return _error("deadline_exceeded", f"The answer was not finished within {limit:g} s.")
    except Exception as error:
        failure = error_response_for(error)
        if failure is None:
            raise
        _log.warning("a WebSocket's answer failed: %s", failure.cause or failure.text)
        return _error(failure.kind, failure.text)
    finally:
        for task in (work, stop):
            task.cancel()
        # The model's server is free before the client gets the last message.
        await asyncio.gather(work, stop, return_exceptions=True)


async def _tokens(socket: WebSocket, chain: Chain, question: Question) -> str | None:
    reason = None
    async with aclosing(answer(chain, question)) as pieces:
        async for piece in pieces:
            if piece.text:
                await socket.send_json({"type": "token", "text": piece.text})
            reason = piece.finish_reason
    return reason


async def _until_stopped(socket: WebSocket) -> dict[str, Any]:
    """Listen to the client until it ends the answer, and return the last message."""
    while True:
        try:
            if await socket.receive_json() == {"type": "stop"}:
                return {"type": "stopped"}
        except (ValueError, KeyError):  # other messages have no meaning
            continue
        except RecursionError:
            return _error("bad_request", "A message was nested too deeply.")


def _error(kind: str, text: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": text}}


async def _could_be_closed(socket: WebSocket) -> bool:
    """Close the connection after a failure, and return whether its client was still there."""
    states = (socket.client_state, socket.application_state)
    if any(state is not WebSocketState.CONNECTED for state in states):
        return False
    try:
        await socket.close(1011, "The server has failed.")
    except Exception:
        return False
    return True


def _is_from_here(socket: WebSocket) -> bool:
    """Tell whether it comes from our own page, or not from a browser.

    Any page in the world may open a WebSocket to any server. That the host is ours, the middleware
    has checked.
    """
    origin = socket.headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == socket.headers.get("host")
    except ValueError:  # such as http://[
        return False
