"""A server with one WebSocket client in tests of `DeadlineMiddleware`, and what a model says."""

import asyncio
from collections.abc import Callable
from typing import Any

from stream_deadline import StreamDeadlineExceeded, bounded
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from tests.stream_deadline.sources import Source, elapsed

ACCEPT: ASGIMessage = {"type": "websocket.accept"}
DENIAL: dict[str, Any] = {"websocket.http.response": {}}
"""The extensions of a server that can answer a handshake with a status."""


class Client:
    """A server with one client, which sends messages at given times and disconnects.

    Attributes:
        heard: what the application or the middleware sent, with the time.
        asked: how many messages the server has handed over.
    """

    def __init__(
        self, *sends: tuple[float, str | bytes], leaves: float | None = None, reads: bool = True
    ) -> None:
        self.heard: list[tuple[float, ASGIMessage]] = []
        self.asked = 0
        self._sends = list(sends)
        self._leaves = leaves
        self._reads = reads
        self._is_connected = False

    async def receive(self) -> ASGIMessage:
        message = await self._next()
        self.asked += 1
        return message

    async def _next(self) -> ASGIMessage:
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        if self._sends:
            at, said = self._sends[0]
            await asyncio.sleep(at - elapsed())
            del self._sends[0]
            kind = "bytes" if isinstance(said, bytes) else "text"
            return {"type": "websocket.receive", kind: said}
        if self._leaves is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self._leaves - elapsed())
        return {"type": "websocket.disconnect", "code": 1001, "reason": ""}

    async def send(self, message: ASGIMessage) -> None:
        await asyncio.sleep(0)
        if not self._reads and self.heard:
            await asyncio.Event().wait()
        self.heard.append((elapsed(), message))

    @property
    def kinds(self) -> list[str]:
        return [message["type"].removeprefix("websocket.") for _, message in self.heard]

    @property
    def last(self) -> ASGIMessage:
        return self.heard[-1][1]


async def connect(
    app: Any, client: Client, *headers: str, extensions: Any = None, **options: Any
) -> None:
    scope: ASGIMessage = {
        "type": "websocket",
        "path": "/ws",
        "headers": [(b"x-timeout-ms", value.encode()) for value in headers],
        "extensions": extensions,
    }
    await DeadlineMiddleware(app, **options)(scope, client.receive, client.send)


async def call(found: list[Any], *, stop: float = 1e9) -> None:
    """Ask an endless model, and note when and by which bound the call ended."""
    began = elapsed()
    try:
        async for _ in bounded(Source(every=0.1), stop):
            pass
    except StreamDeadlineExceeded as error:
        found.append((round(began, 6), round(elapsed(), 6), error.bound))


def chat(found: list[Any], work: Callable[[list[Any]], Any] = call) -> Any:
    """An application that works for each message in its turn."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send(ACCEPT)
        while (await receive())["type"] == "websocket.receive":
            await work(found)

    return app
