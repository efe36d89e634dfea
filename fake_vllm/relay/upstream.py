"""Requests to a real server, over a connection for each."""

import asyncio
import ssl
from collections.abc import Callable

import httptools

from fake_vllm.relay.address import Address
from fake_vllm.relay.call import Call, Head
from fake_vllm.relay.request import RelayedRequest

CONNECTS_WITHIN = 15.0  # seconds
NO_BODY = (204, 304)


class Upstream:
    """A real server, which answers in place of the fake's own model."""

    def __init__(self, address: Address) -> None:
        """Prepare to ask; nothing is sent.

        TLS trusts the system's authorities, or those in the file that SSL_CERT_FILE names.
        """
        self._address = address
        self._tls = ssl.create_default_context() if address.tls else None

    def ask(self, request: RelayedRequest) -> Call:
        """Return the call for a request, which has not begun."""
        return UpstreamCall(self._address, self._tls, request)


class UpstreamCall(Call):
    """One request to a real server."""

    def __init__(
        self, address: Address, tls: ssl.SSLContext | None, request: RelayedRequest
    ) -> None:
        super().__init__()
        self._address, self._tls, self._request = address, tls, request
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False

    def start(self, wake: Callable[[], None]) -> None:
        super().start(wake)
        self._task = asyncio.get_running_loop().create_task(self._connect())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._wake = _nothing

    async def _connect(self) -> None:
        address, loop = self._address, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECTS_WITHIN):
                transport, _ = await loop.create_connection(
                    lambda: _Reader(self, self._request.method),
                    address.host,
                    address.port,
                    ssl=self._tls,
                )
        except TimeoutError:
            self._failed(f"{address.url} did not accept a connection in {CONNECTS_WITHIN:g} s.")
        except (OSError, UnicodeError) as error:  # the latter: a name that no host can have
            words = getattr(error, "verify_message", "") or getattr(error, "strerror", "")
            reason = words or str(error)
            self._failed(f"{address.url} cannot be reached: {reason}. Is the server there?")
        else:
            self._transport = transport
            self._transport.write(self._written())

    def _written(self) -> bytes:
        request = self._request
        headers = {
            "host": self._address.authority,
            **request.headers,
            "accept-encoding": "identity",
            "connection": "close",
        }
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(request.body))
        lines = [f"{request.method} {self._address.prefix}{request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + request.body

    def _flow(self, *, full: bool) -> None:
        if self._transport is None or self._transport.is_closing() or full == self._paused:
            return
        self._paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class _Reader(asyncio.Protocol):
    """The reader of one answer."""

    def __init__(self, call: UpstreamCall, method: str) -> None:
        self._call, self._method = call, method
        self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self._headers: list[tuple[str, str]] = []

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._call._ended("closed")
        except httptools.HttpParserError as error:
            self._call._failed(f"{self._call._address.url} does not speak HTTP/1.1: {error}.")

    def connection_lost(self, exc: Exception | None) -> None:
        head = self._call.head
        framed = head is not None and (head.get("content-length") or head.get("transfer-encoding"))
        if exc is None and head is not None and not framed:
            self._call._ended("complete")  # the end of the connection is the end of the body
        self._call._ended("closed" if exc is None else "reset")

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        self._reason, self._headers = b"", []

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        self._call._began(Head(status, self._reason.decode("latin-1"), self._headers))
        if self._method == "HEAD" or status in NO_BODY:
            self._call._ended("complete")

    def on_body(self, data: bytes) -> None:
        self._call._came(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._call._ended("complete")


def _nothing() -> None:
    pass
