"""The incident's AI server, before and after the repair, which is two lines."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse

from stream_deadline import ChatVllm
from stream_deadline.asgi import DeadlineMiddleware

PATHS = ("/answer", "/blocking", "/text", "/sse", "/events")
"""The ways to answer: one JSON body, as the incident's server did; the same from a handler that
blocks its thread; plain text; Server-Sent Events by hand; Server-Sent Events by sse-starlette."""

PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])


class Question(BaseModel):
    """The body that the ERP server sends."""

    question: str


def before(settings: dict[str, Any], *, hides: bool = False) -> FastAPI:
    """Make the server as it was.

    `settings`: where the model is, for `ChatOpenAI`. `hides`: with a middleware that looks harmless.
    """
    return _application(ChatOpenAI(**settings, timeout=45), hides=hides)


def after(settings: dict[str, Any], *, hides: bool = False) -> FastAPI:
    """Repaired: another class for the model, and one middleware, outside of all others."""
    app = _application(ChatVllm(**settings, timeout=45), hides=hides)
    app.add_middleware(DeadlineMiddleware, default_timeout=60, max_body_bytes=1_000_000)
    return app


def _application(model: Runnable[Any, Any], *, hides: bool) -> FastAPI:
    app = FastAPI()
    chain: Runnable[dict[str, Any], str] = PROMPT | model | StrOutputParser()

    @app.post("/answer")
    async def answer(asked: Question) -> dict[str, str]:
        return {"text": "".join([token async for token in chain.astream(asked.model_dump())])}

    @app.post("/blocking")
    def blocking(asked: Question) -> dict[str, str]:
        return {"text": "".join(chain.stream(asked.model_dump()))}

    @app.post("/text")
    async def text(asked: Question) -> StreamingResponse:
        return StreamingResponse(chain.astream(asked.model_dump()), media_type="text/plain")

    @app.post("/sse")
    async def sse(asked: Question) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            async for token in chain.astream(asked.model_dump()):
                yield f"data: {json.dumps(token)}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @app.post("/events")
    async def events(asked: Question) -> EventSourceResponse:
        async def tokens() -> AsyncIterator[dict[str, str]]:
            async for token in chain.astream(asked.model_dump()):
                yield {"event": "token", "data": json.dumps(token)}
            yield {"event": "done", "data": "[DONE]"}

        return EventSourceResponse(tokens())

    @app.post("/polite")
    async def polite(asked: Question, request: Request) -> dict[str, str]:
        """Answer as /answer does, but ask after each token whether the caller is there.

        That is the repair that most people try first.
        """
        told = []
        async for token in chain.astream(asked.model_dump()):
            told.append(token)
            if await request.is_disconnected():
                break
        return {"text": "".join(told)}

    if hides:

        @app.middleware("http")  # Starlette's BaseHTTPMiddleware
        async def nothing(
            request: Request, call_next: Callable[[Request], Awaitable[Response]]
        ) -> Response:
            return await call_next(request)

    return app
