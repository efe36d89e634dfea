"""HTTP/1.1 over one TCP connection, as uvicorn speaks it for vLLM, or broken on purpose.

httptools reads the requests. Responses go to the transport as bytes, since the fake must be able to
send a reset, half a head or a wrong length.
"""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import httptools

from fake_vllm.http.exchange import Exchange, origin_form
from fake_vllm.http.upload import FaultyReception, Reception, Upload

PEEK_FIRST, PEEK_LAST = 0.001, 2.0  # seconds after which it looks for a request that it may read
HEAD_LIMIT = 65_536
PIPELINE_LIMIT = 64
_NO_LINGER = struct.pack("ii", 1, 0)


AccessLog = Callable[[Any, Exchange, int], None]
"""Is called with the client's address, the request and the status of its answer."""


Receive = Callable[[dict[str, str], Callable[[], Exchange]], Reception | None]
"""Is called with the headers of a request; returns the fault of its reception. None: there is none.

It may make the exchange, which has no body yet.
"""


@dataclass(frozen=True)
class Limits:
    """The limits for a request.

    Attributes:
        request_seconds: the time from its first byte to its last.
        body_bytes: the size of its body.
        idle_seconds: the time between two requests over a connection; vLLM has uvicorn's 5 s.
    """

    request_seconds: float = 30.0
    body_bytes: int = 64 * 2**20
    idle_seconds: float = 5.0


class Connection(asyncio.Protocol):
    """The connection of one client.

    Each whole request goes to `handle`, one at a time; pipelined requests wait. The connection is
    in `everyone` while it is open. While `reads` returns false, the client's bytes stay in the
    socket, unless the first of them ask for a path in `always_read`.
    """

    def __init__(
        self,
        handle: Callable[[Exchange], None],
        limits: Limits,
        everyone: set["Connection"],
        *,
        reads: Callable[[], bool] = lambda: True,
        always_read: Sequence[str] = (),
        log: AccessLog | None = None,
        receive: Receive | None = None,
    ) -> None:
        self._log = log
        self._receive = receive
        self._discards = False
        self._faulty: FaultyReception | None = None
        self._upload: Upload | None = None
        self._handle = handle
        self._limits = limits
        self._everyone = everyone
        self._may_read = reads
        self._reads = reads()
        self._early = b""
        self._always_read = tuple(path.encode() for path in always_read)
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self.requests = 0
        self.stale: Literal["reset", "close"] | None = None
        self._current: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._receiving = self._full = self._allowed = False
        self._begin_message()

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has no such base class
        self.write: Callable[[bytes], None] = self._transport.write
        self._loop = asyncio.get_running_loop()
        self._everyone.add(self)
        self._peer = self._transport.get_extra_info("peername")
        if not self._reads:
            # uvloop begins to read after this call.
            self._loop.call_soon(self._transport.pause_reading)
            if self._always_read:
                self._loop.call_later(PEEK_FIRST, self._peek, PEEK_FIRST)
        else:
            self._time(self._limits.request_seconds, self.close)

    def _peek(self, waited: float) -> None:
        """Look at a request without reading it; read it if `always_read` has its path."""
        if self._transport.is_closing():
            return
        line = _first_line(self._early + _waiting_in(self._transport))
        if line is None and waited < PEEK_LAST:
            self._loop.call_later(waited, self._peek, 2 * waited)
        elif line is not None and len(parts := line.split(b" ")) > 1:
            path = origin_form(parts[1]).partition(b"?")[0]
            if any(path == own or path.startswith(own + b"/") for own in self._always_read):
                self._reads = self._allowed = True
                self._transport.resume_reading()
                self._time(self._limits.request_seconds, self.close)
                early, self._early = self._early, b""
                self.data_received(early)

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

    @property
    def scheme(self) -> str:
        return "http" if self._transport.get_extra_info("sslcontext") is None else "https"

    def data_received(self, data: bytes) -> None:
        if not self._reads:
            self._early += data  # this came before reading could be paused
            return
        if self._discards:
            return
        if self._current is None and not self._receiving:
            if not self._allowed and not self._may_read():
                self._stop_reading(data)
                return
            if self.stale is not None:
                self._end_stale()
                return
            self._receiving, self._allowed = True, False
            self._time(self._limits.request_seconds, self._too_slow)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request stands, without the upgrade, as on vLLM
        except httptools.HttpParserError:
            self._refuse(b"HTTP/1.1 400 Bad Request\r\n", b"Invalid HTTP request received.")

    def _stop_reading(self, data: bytes) -> None:
        """Leave a request over a kept connection unread, as those over new connections."""
        self._reads, self._early = False, data
        self._time(None)
        self._transport.pause_reading()
        if self._always_read:
            self._peek(PEEK_FIRST)

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
        known = name.decode("latin-1").lower()
        if known in self._headers:
            self._repeated.append((known, self._headers[known]))
        self._headers[known] = value.decode("latin-1")
        self._grow(len(name) + len(value))

    def on_headers_complete(self) -> None:
        if self._discards or self._transport.is_closing():
            return  # it came in the same packet as one that has ended the connection
        asks = self._headers.get("expect", "").lower() == "100-continue"
        if self._receive is not None:
            reception = self._receive(self._headers, self._exchange)
            if reception is not None:
                self._upload = reception.upload
                self._faulty = FaultyReception(reception, self)
                asks = self._faulty.head_complete(asks_to_continue=asks) and asks
                self._discards |= self._faulty.over
        if asks:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        if self._faulty is not None:
            self._faulty.body(len(data))
            self._discards |= self._faulty.over
        self._size += len(data)
        if self._size <= self._limits.body_bytes:
            self._body.append(data)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        if self._discards or self._transport.is_closing():
            return
        self.requests += 1
        exchange = self._exchange()
        exchange.upload = self._upload
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

    def tell(self, exchange: Exchange, status: int) -> None:
        if self._log is not None:
            self._log(self._peer, exchange, status)

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    def discard(self, seconds: float) -> None:
        self._discards = True
        self._time(seconds, self.close)

    def answered(self, *, close: bool) -> None:
        self._current = None
        if close:
            self.close()
        elif self._waiting:
            self._transport.resume_reading()
            # Not at once, or a thousand pipelined requests would make a thousand stack frames.
            self._loop.call_soon(self._next)
        else:
            self._time(self._limits.idle_seconds, self.close)

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

    def _exchange(self) -> Exchange:
        parser = self._parser
        keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        return Exchange(
            self,
            parser.get_method().decode(),
            self._target,
            self._headers,
            repeated=self._repeated,
            keep_alive=keep_alive,
        )

    def _end_stale(self) -> None:
        if self.stale == "reset":
            self.reset()
        else:
            self.close()

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
        self._repeated: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._faulty, self._upload = None, None

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


def _waiting_in(transport: asyncio.Transport) -> bytes:
    """Return the bytes that wait in a transport's socket, and leave them there."""
    shared = transport.get_extra_info("socket")
    with socket.socket(shared.family, shared.type, fileno=os.dup(shared.fileno())) as peeking:
        try:
            return peeking.recv(HEAD_LIMIT, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return b""


def _first_line(data: bytes) -> bytes | None:
    """Return the first line of some bytes. None: it is not complete."""
    line, end, _ = data.partition(b"\r\n")
    return line if end else None


def _drop(data: bytes) -> None:
    pass
