"""HTTP/1.1 over one TCP connection, as uvicorn speaks it for vLLM, or broken on purpose.

httptools reads the requests. Responses go to the transport as bytes, since the fake must be able to
send a reset, half a head or a wrong length.
"""

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, unquote

import httptools

Headers = Sequence[tuple[bytes, bytes]]
KEEP_ALIVE = 5.0  # uvicorn's, and so vLLM's
CHUNK = b"%x\r\n%b\r\n"  # from a length and the bytes
LAST_CHUNK = b"0\r\n\r\n"
HEAD_LIMIT = 65_536
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
PIPELINE_LIMIT = 64
_NO_LINGER = struct.pack("ii", 1, 0)
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


@dataclass(frozen=True)
class Limits:
    """The limits for a request.

    Attributes:
        request_seconds: the time from its first byte to its last.
        body_bytes: the size of its body.
    """

    request_seconds: float = 30.0
    body_bytes: int = 64 * 2**20


class Exchange:
    """One complete request, and the way back to its client.

    Attributes:
        method: the HTTP method.
        path: the path, decoded.
        query: the query string, by name.
        headers: the headers, with names in lower case.
        body: the bytes of the body.
        gone: whether the client has disconnected; `on_gone` is called once when it does.
        blocked: whether the client reads too slowly; `on_drained` is called each time that this
            ends.
        write: sends bytes, with head and framing, and drops them when the client is gone.
        refusal: the status to refuse the request with. None: it may be handled.
        turn: the number of the request over its connection, from 1.
    """

    __slots__ = (
        *("method", "path", "query", "headers", "body", "refusal"),
        *(
            "gone",
            "blocked",
            "on_gone",
            "on_drained",
            "write",
            "turn",
            "_connection",
            "_keep_alive",
        ),
    )

    def __init__(
        self,
        connection: "Connection",
        method: str,
        target: bytes,
        headers: dict[str, str],
        *,
        keep_alive: bool,
    ) -> None:
        path, _, query = target.partition(b"?")
        self.method = method
        self.path = unquote(path.decode("latin-1"))
        self.query = dict(parse_qsl(query.decode("latin-1")))
        self.headers = headers
        self.body = b""
        self.gone = self.blocked = False
        self.on_gone: Callable[[], None] = _nothing
        self.on_drained: Callable[[], None] = _nothing
        self.refusal: int | None = None
        self.write: Callable[[bytes], None] = connection.write
        self.turn = connection.requests
        self._connection = connection
        self._keep_alive = keep_alive

    def head(self, status: int, headers: Headers, *, chunked: bool = False) -> bytes:
        """Return the status line and headers as uvicorn writes them."""
        parts = [
            _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
            b"date: ",
            _date(),
            b"\r\nserver: uvicorn\r\n",
        ]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if not self._keep_alive:
            parts.append(b"connection: close\r\n")
        if chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def done(self, *, close: bool = False) -> None:
        """End the response, and free the connection for the next request, or close it."""
        self.on_gone = self.on_drained = _nothing
        if not self.gone:
            self._connection.answered(close=close or not self._keep_alive)

    def reset(self) -> None:
        """Close with RST instead of FIN, after the bytes that were written."""
        self.on_gone = self.on_drained = _nothing
        self._connection.reset()


class Connection(asyncio.Protocol):
    """The connection of one client.

    Each whole request goes to `handle`, one at a time; pipelined requests wait. The connection is
    in `everyone` while it is open. If `reads` is false, the client's bytes stay in the socket.
    """

    def __init__(
        self,
        handle: Callable[[Exchange], None],
        limits: Limits,
        everyone: set["Connection"],
        *,
        reads: bool = True,
    ) -> None:
        self._handle = handle
        self._limits = limits
        self._everyone = everyone
        self._reads = reads
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self.requests = 0
        self._current: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._receiving = self._full = False
        self._begin_message()

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has no such base class
        self.write = self._transport.write
        self._loop = asyncio.get_running_loop()
        self._everyone.add(self)
        if not self._reads:
            # uvloop begins to read after this call.
            self._loop.call_soon(self._transport.pause_reading)
        else:
            self._time(self._limits.request_seconds, self.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.discard(self)
        self._time(None)
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                exchange.gone = True
                exchange.write = _drop
                exchange.on_gone()
        self._current = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if not self._reads:
            return  # this data came before reading could be paused
        if self._current is None and not self._receiving:
            self._receiving = True
            self._time(self._limits.request_seconds, self._too_slow)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request stands, without the upgrade, as on vLLM
        except httptools.HttpParserError:
            self._refuse(b"HTTP/1.1 400 Bad Request\r\n", b"Invalid HTTP request received.")

    def pause_writing(self) -> None:
        self._full = True
        if self._current is not None:
            self._current.blocked = True

    def resume_writing(self) -> None:
        self._full = False
        if self._current is not None:
            self._current.blocked = False
            self._current.on_drained()

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        self._begin_message()

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        self._grow(len(name) + len(value))

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limits.body_bytes:
            self._body.append(data)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        parser = self._parser
        keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        self.requests += 1
        exchange = Exchange(
            self, parser.get_method().decode(), self._target, self._headers, keep_alive=keep_alive
        )
        exchange.body = b"".join(self._body)
        exchange.refusal = 413 if self._size > self._limits.body_bytes else None
        self._begin_message()
        self._receiving = False
        self._time(None)
        if self._current is None:
            self._handle_next(exchange)
        else:
            self._waiting.append(exchange)
            if len(self._waiting) >= PIPELINE_LIMIT:
                self._transport.pause_reading()

    # Methods for the exchange.

    def answered(self, *, close: bool) -> None:
        self._current = None
        if close:
            self.close()
        elif self._waiting:
            self._transport.resume_reading()
            # Not at once, or a thousand pipelined requests would make a thousand stack frames.
            self._loop.call_soon(self._next)
        else:
            self._time(KEEP_ALIVE, self.close)

    def reset(self, patience: int = 1000) -> None:
        if self._transport.is_closing():
            return
        if patience and self._transport.get_write_buffer_size():
            self._loop.call_later(0.001, self.reset, patience - 1)
            return
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER
        )
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()

    def _next(self) -> None:
        if self._current is None and self._waiting:
            self._handle_next(self._waiting.popleft())

    def _handle_next(self, exchange: Exchange) -> None:
        self._current = exchange
        exchange.blocked = self._full
        self._handle(exchange)

    def _begin_message(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0

    def _grow(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            self._refuse(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
                b"The head of the request is too large.",
            )

    def _too_slow(self) -> None:
        seconds = self._limits.request_seconds
        self._refuse(
            b"HTTP/1.1 408 Request Timeout\r\n",
            f"The request was not complete within {seconds:g} seconds.".encode(),
        )

    def _refuse(self, status_line: bytes, message: bytes) -> None:
        """Refuse as uvicorn does before vLLM has a request."""
        if not self._transport.is_closing():
            head = (
                b"content-type: text/plain; charset=utf-8\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n" % len(message)
            )
            self._transport.write(status_line + head + message)
            self._transport.close()

    def _time(self, seconds: float | None, call: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = (
            None if seconds is None or call is None else self._loop.call_later(seconds, call)
        )


def _nothing() -> None:
    pass


def _drop(data: bytes) -> None:
    pass


_dated: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        day = time.gmtime(now)
        # strftime's names follow the locale, and email.utils takes long to load.
        text = time.strftime(
            f"{DAYS[day.tm_wday]}, %d {MONTHS[day.tm_mon - 1]} %Y %H:%M:%S GMT", day
        )
        _dated = (now, text.encode())
    return _dated[1]
