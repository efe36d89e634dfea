"""Requests for small pages, bounded in time as a whole and in size.

An HTTP client's own time-out is for each read, so a server that sends a byte now and then is never
late. Here a timer shuts the connection's socket.
"""

import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from stream_lab.http.intake import Intake, TooMuch

MOST = 5_000_000  # bytes; the metrics of a busy vLLM have about 100,000


@dataclass(frozen=True)
class SmallPage:
    """An answer.

    Attributes:
        status: its status code.
        text: its body; bytes that are not UTF-8 are replaced.
    """

    status: int
    text: str


class SmallPages:
    """A reader of small pages, over connections that are kept."""

    def __init__(self, client: httpx2.Client, *, within: float, most: int = MOST) -> None:
        """Send requests through a client.

        Args:
            client: the client; its owner closes it.
            within: seconds for one page, from the connection to its last byte.
            most: bytes of one page, packed or unpacked.
        """
        self._client, self._within, self._most = client, within, most
        self._sockets: list[socket.socket] = []
        self._is_late = False

    def get(self, url: str) -> SmallPage:
        """Return a page; see `ask`."""
        return self.ask("GET", url)

    def ask(self, method: str, url: str, body: Any = None) -> SmallPage:
        """Return the answer to a request.

        Args:
            method: the HTTP method.
            url: the address.
            body: the body to send as JSON. None: no body.

        Raises:
            httpx2.TimeoutException: the answer is too slow.
            httpx2.HTTPError: there is no answer, or it is broken or too large.
        """
        intake = Intake(self._most)
        try:
            with (
                self._timer(),
                self._client.stream(
                    method,
                    url,
                    json=body,
                    headers={"accept-encoding": "gzip"},
                    extensions={"trace": self._trace},
                ) as answer,
            ):
                intake.encoded(answer.headers.get("content-encoding", ""))
                body = b"".join(intake.take(data) for data in answer.iter_raw())
        except (TooMuch, zlib.error) as error:
            raise httpx2.DecodingError(str(error)) from None
        except httpx2.TransportError as error:
            if self._is_late:
                raise httpx2.ReadTimeout(f"no whole answer in {self._within:g} s") from error
            raise
        return SmallPage(answer.status_code, body.decode(errors="replace"))

    @contextmanager
    def _timer(self) -> Iterator[None]:
        self._is_late = False
        timer = threading.Timer(self._within, self._shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            made = info["return_value"].get_extra_info("socket")
            self._sockets = [each for each in (*self._sockets, made) if each.fileno() >= 0]

    def _shut(self) -> None:
        self._is_late = True
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
