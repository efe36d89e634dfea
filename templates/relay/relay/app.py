"""The application: an answer token by token, or in one piece, and nothing that outlives its caller."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

import anyio
import httpx2
from fastapi import FastAPI, Response, WebSocket
from fastapi.responses import FileResponse
from langchain_core.callbacks import BaseCallbackHandler
from sse_starlette.sse import EventSourceResponse
from stream_deadline.asgi import DeadlineMiddleware

from relay import websocket
from relay.chain import Question, answer, make_chain
from relay.settings import Settings
from relay.token_counter import TokenCounter

PAGE: Final = Path(__file__).with_name("page.html")
READY_WITHIN: Final = 2.0
"""Seconds that the model's server has to say that it is well."""


def from_environment() -> FastAPI:
    """What gunicorn and `python -m relay` serve.

    Raises:
        SettingsError: the environment does not say what it has to.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for ours in ("relay", "stream_deadline"):
        logging.getLogger(ours).setLevel(logging.INFO)
    return create_app(Settings.from_environment(), [TokenCounter()])


def create_app(settings: Settings, handlers: Iterable[BaseCallbackHandler] = ()) -> FastAPI:
    """`handlers`: LangChain callbacks that see every answer."""
    app = FastAPI(title="relay")
    chain = make_chain(settings, handlers)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE)

    @app.post("/chat")
    async def chat(asked: Question) -> EventSourceResponse:
        async def events() -> AsyncIterator[dict[str, str]]:
            async for piece in answer(chain, asked):
                if piece.finish_reason is None:
                    yield {"event": "token", "data": json.dumps(piece.text)}
                else:
                    yield {"event": "done", "data": json.dumps({"finish_reason": piece.finish_reason})}

        # Without a grace period sse-starlette cuts all its streams as soon as the server is told to stop.
        return EventSourceResponse(events(), shutdown_event=anyio.Event(), shutdown_grace_period=settings.max_timeout)

    @app.post("/answer")
    async def whole(asked: Question) -> dict[str, str | None]:
        pieces = [piece async for piece in answer(chain, asked)]
        return {"text": "".join(piece.text for piece in pieces), "finish_reason": pieces[-1].finish_reason}

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await websocket.serve(socket, chain, settings)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether this process lives. It does not ask the model's server: restarting this one would not help that one."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready(response: Response) -> dict[str, str]:
        """Whether it is of use to send requests here: the model's server is well."""
        try:
            async with asyncio.timeout(READY_WITHIN), httpx2.AsyncClient() as client:
                asked = await client.get(settings.base_url.rstrip("/").removesuffix("/v1") + "/health")
            asked.raise_for_status()
        except (TimeoutError, httpx2.HTTPError) as error:
            response.status_code = 503
            return {"status": f"the model's server is not well ({type(error).__name__})"}
        return {"status": "ready"}

    # Last, so that it stands outside of every other middleware.
    app.add_middleware(DeadlineMiddleware, max_timeout=settings.max_timeout, max_body_bytes=settings.max_body_bytes)
    return app
