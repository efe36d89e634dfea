"""Requests for small pages, bounded in time as a whole and in size.

An HTTP client's own time-out is for each read and each address of a name, so a server that sends a
byte now and then is never late, and no time-out holds for the look-up of a name. Here the request
has a thread of its own, which is left behind when the time is over, with its sockets shut.
"""

import socket
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from stream_lab.background import in_time
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
            within: seconds for one page, from the look-up of the name to the last byte.
            most: bytes of one page, packed or unpacked.
        """
        self._client, self._within, self._most = client, within, most
        self._sockets: list[socket.socket] = []

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
            httpx2.ReadTimeout: the answer is too slow, from the look-up of the name on.
            httpx2.HTTPError: there is no answer, or it is broken or too large.
        """
        is_late = threading.Event()
        try:
            return in_time(lambda: self._asked(method, url, body, is_late), self._within)
        except (TimeoutError, httpx2.TimeoutException):  # the client's own may come first
            # The flag first: a socket that is not in the list yet is shut when it comes.
            is_late.set()
            for each in list(self._sockets):
                _shut(each)
            raise httpx2.ReadTimeout(f"no whole answer in {self._within:g} s") from None

    def _asked(self, method: str, url: str, body: Any, is_late: threading.Event) -> SmallPage:
        intake = Intake(self._most)
        try:
            with self._client.stream(
                method,
                url,
                json=body,
                headers={"accept-encoding": "gzip"},
                timeout=self._within,
                extensions={"trace": self._tracer(is_late)},
            ) as answer:
                intake.encoded(answer.headers.get("content-encoding", ""))
                data = b"".join(intake.take(piece) for piece in answer.iter_raw())
        except (TooMuch, zlib.error) as error:
            raise httpx2.DecodingError(str(error)) from None
        except httpx2.InvalidURL:  # which is no HTTPError
            raise httpx2.ConnectError("the name of the host is not valid") from None
        return SmallPage(answer.status_code, data.decode(errors="replace"))

    def _tracer(self, is_late: threading.Event) -> Callable[[str, dict[str, Any]], None]:
        """Return what notes a request's new sockets, and shuts a late one."""

        def trace(event: str, info: dict[str, Any]) -> None:
            if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
                made = info["return_value"].get_extra_info("socket")
                self._sockets = [each for each in (*self._sockets, made) if each.fileno() >= 0]
                if is_late.is_set():
                    _shut(made)

        return trace


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
