"""Both sides of `DeadlineMiddleware` in tests: a server with one caller, and small applications."""

import asyncio
import json
from typing import Any

from stream_deadline._deadline import remaining
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from tests.stream_deadline.sources import elapsed

JSON = [(b"content-type", b"application/json")]
TEXT = [(b"content-type", b"text/plain")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]
DISCONNECT: ASGIMessage = {"type": "http.disconnect"}


class Caller:
    """A server with one client that sends a body in parts and disconnects."""

    def __init__(
        self, *, leaves: float | None = None, body: list[bytes] | None = None, reads: bool = True
    ) -> None:
        self.heard: list[ASGIMessage] = []
        self.asked = 0
        self._body = [b""] if body is None else list(body)
        self._leaves = leaves
        self._reads = reads
        self._over = asyncio.Event()

    async def receive(self) -> ASGIMessage:
        self.asked += 1
        if self._body:
            part = self._body.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._body)}
        if self._leaves is None:
            await self._over.wait()
        else:
            await asyncio.sleep(self._leaves - elapsed())
        return DISCONNECT

    async def send(self, message: ASGIMessage) -> None:
        if not self._reads and self.heard:
            await asyncio.Event().wait()
        await asyncio.sleep(0)  # as a server does whose socket is full
        self.heard.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._over.set()

    @property
    def status(self) -> int:
        return int(self.heard[0]["status"])

    @property
    def said(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.heard[1:])

    @property
    def whole(self) -> bool:
        """Whether the answer came to its end."""
        last = self.heard[-1]
        return last["type"] == "http.response.body" and not last.get("more_body", False)


async def ask(app: Any, caller: Caller, *headers: str, **options: Any) -> None:
    said = [(b"x-timeout-ms", value.encode()) for value in headers]
    scope = {"type": "http", "method": "POST", "path": "/chat", "headers": said}
    await DeadlineMiddleware(app, **options)(scope, caller.receive, caller.send)


def answers(*parts: bytes, every: float = 0.0, headers: Any = JSON, end: bool = True) -> Any:
    """An application that sends these parts, one every N seconds."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts:
            await asyncio.sleep(every)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if end:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await asyncio.Event().wait()

    return app


async def never(scope: Any, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


def seen(what: dict[str, Any], then: Any = never) -> Any:
    """An application that notes its budget, and when and how it ended."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        what["budget"] = remaining()
        try:
            await then(scope, receive, send)
        except asyncio.CancelledError:
            what["cancelled at"] = elapsed()
            raise

    return app


def error_of(body: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(body)["error"]
    return found
