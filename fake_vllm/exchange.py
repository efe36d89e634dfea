"""One HTTP request, and how what is sent back travels."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl

from fake_vllm import connection, wire
from fake_vllm.connection import Send

TYPE_JSON = (b"content-type", b"application/json")
Headers = Sequence[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Carrier(Protocol):
    """What an answer is sent through: the exchange itself, or whatever a scenario put before it."""

    async def start(self, status: int, headers: Headers, every: float = 0.0) -> None:
        """Send status line and headers; `every`: seconds between two of their bytes, 0: all at once."""

    async def send(self, data: bytes) -> None:
        """Send a part of the body, in a stream as one HTTP chunk."""

    async def end(self) -> None:
        """End the body."""


class Exchange:
    """One HTTP request and what is sent back."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._receive = receive
        self._send = send

    async def body(self) -> bytes:
        parts = []
        while (message := await self._receive())["type"] == "http.request":
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        return b"".join(parts)

    async def left(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Headers, every: float = 0.0) -> None:
        message = {"type": "http.response.start", "status": status, "headers": headers}
        await (connection.start_slowly(self._send, message, every) if every else self._send(message))

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    def reset(self) -> None:
        """Reset the connection: no end of the body, no FIN."""
        connection.reset(self._send)


async def reply(carrier: Carrier, status: int, body: bytes, headers: Headers) -> None:
    """Send an answer that is one body of known length."""
    await carrier.start(status, [(b"content-length", str(len(body)).encode()), *headers])
    await carrier.send(body)
    await carrier.end()


async def reply_json(carrier: Carrier, value: Any, status: int = 200, more: Headers = ()) -> None:
    await reply(carrier, status, wire.dumps(value), [TYPE_JSON, (b"vary", b"Origin"), *more])
