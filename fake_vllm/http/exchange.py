"""One request of a client, and its answer as uvicorn writes it for vLLM."""

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Literal, Protocol
from urllib.parse import parse_qsl, unquote

from fake_vllm.http.upload import Upload
from fake_vllm.redaction import secrets_of, without

Headers = Sequence[tuple[bytes, bytes]]
CHUNK = b"%x\r\n%b\r\n"  # from a length and the bytes
LAST_CHUNK = b"0\r\n\r\n"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Channel(Protocol):
    """The connection, as an exchange uses it."""

    requests: int
    stale: Literal["reset", "close"] | None
    write: Callable[[bytes], None]

    @property
    def scheme(self) -> str:
        """Return "http" or "https"."""

    def tell(self, exchange: "Exchange", status: int) -> None:
        """Log an answer."""

    def answered(self, *, close: bool) -> None:
        """End the response; the connection is free for the next request, or closed."""

    def reset(self) -> None:
        """Close with RST, after the bytes that were written."""


class Exchange:
    """One complete request, and the way back to its client.

    Attributes:
        method: the HTTP method.
        path: the path, decoded.
        query: the query string, by name.
        query_string: the query string as it came.
        scheme: "http" or "https", as the client, or a proxy before this server, speaks it.
        headers: the headers, with names in lower case; of one that came several times, the last.
        repeated: the other values of those, which only the removal of keys looks at.
        body: the bytes of the body.
        gone: whether the client has disconnected; `on_gone` is called once when it does.
        blocked: whether the client reads too slowly; `on_drained` is called each time that this
            ends.
        write: sends bytes, with head and framing, and drops them when the client is gone.
        refusal: the status to refuse the request with. None: it may be handled.
        turn: the number of the request over its connection, from 1.
        number: its number in the ledger. None: it is not there.
        allow_origin: the origin whose pages may read the answer. None: none.
        base: what --root-path took from the path. Empty: nothing.
        status: the status of the answer. 0: there is none yet.
        length: its header Content-Length, in bytes. 0: it has none, as a stream.
        on_over: called once when the answer has ended.
        upload: the fault that its body was received with. None: there was none.
    """

    __slots__ = (
        *("method", "path", "query", "query_string", "headers", "body", "refusal", "number"),
        *("allow_origin", "base", "status", "length", "on_over", "upload", "repeated"),
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
        connection: Channel,
        method: str,
        target: bytes,
        headers: dict[str, str],
        *,
        repeated: Sequence[tuple[str, str]],
        keep_alive: bool,
    ) -> None:
        path, _, query = origin_form(target).partition(b"?")
        self.method = method
        self.path = unquote(path.decode("latin-1"))
        self.query_string = query.decode("latin-1")
        self.query = dict(parse_qsl(self.query_string))
        self.headers, self.repeated = headers, repeated
        self.body = b""
        self.gone = self.blocked = False
        self.on_gone: Callable[[], None] = _nothing
        self.on_drained: Callable[[], None] = _nothing
        self.refusal: int | None = None
        self.write: Callable[[bytes], None] = connection.write
        self.turn = connection.requests
        self.number: int | None = None
        self.allow_origin: bytes | None = None
        self.base = ""
        self.status = self.length = 0
        self.on_over: Callable[[], None] = _nothing
        self.upload: Upload | None = None
        self._connection = connection
        self._keep_alive = keep_alive

    def without_keys(self, text: str) -> str:
        """Return a text of this request without its keys."""
        return without(text, self.secrets())

    def secrets(self) -> list[str]:
        """Return the keys of this request, which must not stand anywhere."""
        return secrets_of(self.headers, self.query_string, self.repeated)

    @property
    def scheme(self) -> str:
        forwarded = self.headers.get("x-forwarded-proto", "")
        return forwarded if forwarded in ("http", "https") else self._connection.scheme

    @property
    def asks_for_websocket(self) -> bool:
        return (
            self.method == "GET"
            and self.headers.get("upgrade", "").lower() == "websocket"
            and "upgrade" in self.headers.get("connection", "").lower()
        )

    def head(self, status: int, headers: Headers, *, chunked: bool = False) -> bytes:
        """Return the status line and headers as uvicorn writes them."""
        self._connection.tell(self, status)
        self.status = status
        parts = [
            _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
            b"date: ",
            date(),
            b"\r\nserver: uvicorn\r\n",
        ]
        for name, value in headers:
            if name == b"vary" and self.allow_origin is not None:
                parts += (b"access-control-allow-origin: ", self.allow_origin, b"\r\n")
            elif name == b"content-length":
                self.length = int(value)
            parts += (name, b": ", value, b"\r\n")
        if not self._keep_alive:
            parts.append(b"connection: close\r\n")
        if chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def foreign_head(self, status: int, reason: str, headers: Headers) -> bytes:
        """Return a head as another server than uvicorn writes it, with its words and order."""
        self._connection.tell(self, status)
        lines = [f"HTTP/1.1 {status} {reason}".encode("latin-1")]
        lines += [b"%b: %b" % (name, value) for name, value in headers]
        if not self._keep_alive:
            lines.append(b"Connection: close")
        return b"\r\n".join([*lines, b"", b""])

    def close_afterwards(self) -> None:
        """Announce in the head that the connection is closed after the response."""
        self._keep_alive = False

    def goes_stale(self, how: Literal["reset", "close"]) -> None:
        """End the connection when its next request begins to arrive."""
        self._connection.stale = how

    def done(self, *, close: bool = False) -> None:
        """End the response, and free the connection for the next request, or close it."""
        self._over()
        if not self.gone:
            self._connection.answered(close=close or not self._keep_alive)

    def reset(self) -> None:
        """Close with RST instead of FIN, after the bytes that were written."""
        self._over()
        self._connection.reset()

    def refuse_websocket(self) -> None:
        """Refuse a WebSocket with the head that the library websockets writes for vLLM."""
        self._connection.tell(self, 403)
        self.write(
            b"HTTP/1.1 403 Forbidden\r\nDate: %b\r\nConnection: close\r\nContent-Length: 0\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n\r\n" % date()
        )
        self.done(close=True)

    def _over(self) -> None:
        self.on_gone = self.on_drained = _nothing
        over, self.on_over = self.on_over, _nothing
        over()


def origin_form(target: bytes) -> bytes:
    """Return a request's target without scheme and host, with which proxies are asked."""
    if target[:1] == b"/" or b"://" not in target.partition(b"?")[0]:
        return target
    rest = target.partition(b"://")[2]
    at = min((place for mark in b"/?" if (place := rest.find(mark)) >= 0), default=len(rest))
    return rest[at:] if rest[at : at + 1] == b"/" else b"/" + rest[at:]


def phrase(status: int) -> str:
    """Return the words for a status. Empty: it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _nothing() -> None:
    pass


_dated: tuple[int, bytes] = (0, b"")


def date() -> bytes:
    """Return the time now as HTTP writes it."""
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
