"""The least that a stream under uvicorn costs: `python benchmarks/bare_asgi.py PORT GAP_MS`.

A bare ASGI application on uvloop and httptools. Each `send` is one event that was encoded
beforehand; `max_tokens` of them and then `[DONE]` follow an absolute schedule. It has no faults, no
queue and no metrics: it is not a fake, but a measure for one.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

EVENT = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk",'
    b'"created":1763700000,"model":"fake-model",'
    b'"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,'
    b'"finish_reason":null,"token_ids":null}]}\n\n'
)
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Bare:
    """The application, with `gap` seconds between events; 0: as fast as possible."""

    def __init__(self, gap: float) -> None:
        self.gap = gap

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        stream = asyncio.ensure_future(self._stream(json.loads(body)["max_tokens"], send))
        gone = asyncio.ensure_future(receive())
        await asyncio.wait({stream, gone}, return_when=asyncio.FIRST_COMPLETED)
        stream.cancel()
        gone.cancel()

    async def _stream(self, tokens: int, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        start = clock()
        for index in range(tokens):
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
            if self.gap:
                await asyncio.sleep(start + (index + 1) * self.gap - clock())
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


if __name__ == "__main__":
    uvicorn.run(
        Bare(float(sys.argv[2]) / 1000),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="critical",
        loop="uvloop",
        http="httptools",
        lifespan="off",
        backlog=2048,
    )
