"""An ASGI server for several asynchronous workers: `gunicorn stream_lab.relay.scaled:app`."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sse_starlette.sse import EventSourceResponse

from stream_lab.relay.model import ask, ask_blocking


async def watch(state: Any) -> None:
    """Measure how late a plain sleep is, at most."""
    while True:
        due = time.monotonic() + 0.1
        await asyncio.sleep(0.1)
        state.late = max(state.late, time.monotonic() - due)


@asynccontextmanager
async def watched(app: FastAPI) -> AsyncIterator[None]:
    """Watch the event loop of this worker as long as it serves."""
    app.state.late = 0.0
    watching = asyncio.create_task(watch(app.state))
    yield
    watching.cancel()


app = FastAPI(lifespan=watched)
turns: Counter[str] = Counter()
"""Turns by the name of a conversation, in this worker only."""


@app.get("/text")
async def text(tokens: int) -> StreamingResponse:
    """A healthy stream."""
    return StreamingResponse(ask(tokens), media_type="text/plain")


@app.get("/events")
async def events(tokens: int, grace: float = 0) -> EventSourceResponse:
    """Stream the same as events.

    Args:
        tokens: the number of tokens.
        grace: seconds that a running stream may go on for after the signal to end.
    """

    async def each() -> AsyncIterator[dict[str, str]]:
        async for piece in ask(tokens):
            yield {"event": "token", "data": json.dumps(piece)}
        yield {"event": "done", "data": "[DONE]"}

    return EventSourceResponse(each(), shutdown_grace_period=grace)


@app.get("/blocking")
async def blocking(tokens: int) -> dict[str, str]:
    """Wait for the model without `await`, as `llm.invoke` does."""
    return {"text": "".join(ask_blocking(tokens))}


@app.get("/in_a_thread")
def in_a_thread(tokens: int) -> dict[str, str]:
    """The same call in a handler without `async`, which FastAPI gives a thread."""
    return {"text": "".join(ask_blocking(tokens))}


@app.get("/sleep")
async def sleep(seconds: float) -> None:
    """Block this worker for a while."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is its job


@app.get("/stutters")
async def stutters(pieces: int, seconds: float) -> StreamingResponse:
    """Block this worker for a moment before each piece of a stream."""

    async def each() -> AsyncIterator[str]:
        for _ in range(pieces):
            time.sleep(seconds)  # noqa: ASYNC251 - that is its job
            yield "x"
            await asyncio.sleep(0)

    return StreamingResponse(each(), media_type="text/plain")


@app.get("/health")
async def health() -> dict[str, float]:
    """Say how late the event loop was, at most, since the last probe."""
    late, app.state.late = app.state.late, 0.0
    return {"late": late, "worker": os.getpid()}


@app.get("/talk/{name}")
async def talk(name: str) -> dict[str, int]:
    """Count the turns of a conversation in the worker's memory."""
    turns[name] += 1
    return {"turn": turns[name], "worker": os.getpid()}


@app.get("/talk_with/{turn}")
async def talk_with(turn: int) -> dict[str, int]:
    """Count them too, but the client sends the count so far."""
    return {"turn": turn + 1, "worker": os.getpid()}
