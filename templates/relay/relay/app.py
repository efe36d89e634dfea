"""The application: answers by token or in one piece, within the client's time."""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

import anyio
import httpx2
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from langchain_core.callbacks import BaseCallbackHandler
from sse_starlette.sse import EventSourceResponse
from stream_deadline.asgi import DeadlineMiddleware

from relay import websocket
from relay.chain import Question, answer, make_chain
from relay.hosts import HostCheck
from relay.settings import Settings
from relay.token_counter import TokenCounter

PAGE: Final = Path(__file__).with_name("page.html")
READY_WITHIN: Final = 2.0
"""Seconds within which the model's server must answer that it is healthy."""


def from_environment() -> FastAPI:
    """Make the application that gunicorn and `python -m relay` serve.

    Raises:
        SettingsError: a variable of the environment is missing or wrong.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for ours in ("relay", "stream_deadline"):
        logging.getLogger(ours).setLevel(logging.INFO)
    return create_app(Settings.from_environment(), [TokenCounter()])


def create_app(settings: Settings, handlers: Iterable[BaseCallbackHandler] = ()) -> FastAPI:
    """Make the application.

    Args:
        settings: its settings.
        handlers: LangChain callbacks that receive every answer.
    """
    # Without /docs, which describes the service to everyone and loads scripts of a third party.
    app = FastAPI(title="relay", docs_url=None, redoc_url=None, openapi_url=None)
    chain = make_chain(settings, handlers)
    page_headers = _page_headers()

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE, headers=page_headers)

    @app.post("/chat")
    async def chat(question: Question) -> EventSourceResponse:
        async def events() -> AsyncIterator[dict[str, str]]:
            async for piece in answer(chain, question):
                if piece.finish_reason is None:
                    yield {"event": "token", "data": json.dumps(piece.text)}
                else:
                    yield {
                        "event": "done",
                        "data": json.dumps({"finish_reason": piece.finish_reason}),
                    }

        # Without a grace period, sse-starlette cuts all streams as soon as the server is stopped.
        return EventSourceResponse(
            events(), shutdown_event=anyio.Event(), shutdown_grace_period=settings.max_timeout
        )

    @app.post("/answer")
    async def whole(question: Question) -> dict[str, str | None]:
        pieces = [piece async for piece in answer(chain, question)]
        return {
            "text": "".join(piece.text for piece in pieces),
            "finish_reason": pieces[-1].finish_reason,
        }

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await websocket.serve(socket, chain, settings)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tell that this process lives.

        It does not ask the model's server, since restarting this one would not help that one.
        """
        return {"status": "ok"}

    @app.get("/ready")
    async def ready(response: Response) -> dict[str, str]:
        """Tell whether the model's server is healthy, so that requests can be sent here."""
        try:
            async with asyncio.timeout(READY_WITHIN), httpx2.AsyncClient() as client:
                model_health = await client.get(
                    settings.base_url.rstrip("/").removesuffix("/v1") + "/health"
                )
            model_health.raise_for_status()
        except (TimeoutError, httpx2.HTTPError) as error:
            response.status_code = 503
            return {"status": f"the model's server is not healthy ({type(error).__name__})"}
        return {"status": "ready"}

    @app.exception_handler(RequestValidationError)
    async def refused(_: Request, error: RequestValidationError) -> JSONResponse:
        # FastAPI's own handler repeats the input, which need not be JSON: NaN, or half of a
        # surrogate pair.
        named = ("type", "loc", "msg")
        detail = [{name: each[name] for name in named} for each in error.errors()]
        return JSONResponse({"detail": detail}, 422)

    app.add_middleware(HostCheck, names=settings.allowed_hosts)
    # Added last, so that it is outside of every other middleware.
    app.add_middleware(
        DeadlineMiddleware, max_timeout=settings.max_timeout, max_body_bytes=settings.max_body_bytes
    )
    return app


def _page_headers() -> dict[str, str]:
    """Return headers that let the page run its own script only, unframed."""
    script = PAGE.read_text(encoding="utf-8").partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
