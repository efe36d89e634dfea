"""The record of an answer over HTTP: its pieces, their times, and its end."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import Any

import httpx2

from stream_lab.http.client import direct_client

PATIENCE = 30.0  # seconds of silence after which a client gives up, so that no read can hang
WHOLE, CUT, REFUSED, OPEN = "whole", "cut", "refused", "still open"
NOT_AT_ALL, AT_ONCE, TOKEN_BY_TOKEN, STOOD_STILL = (
    "not at all", "all at once", "token by token", "with a standstill",
)  # fmt: skip
STANDSTILL = 1.5
"""Seconds without a piece that are a standstill, if the answer's other waits are far shorter."""
FAR = 5.0


class End(StrEnum):
    """The ways in which an exchange ends."""

    WHOLE = "whole"  # the answer ended as HTTP says
    CLOSED = "closed"  # before that, in an orderly way (FIN)
    RESET = "reset"  # before that (RST)
    BROKEN = "broken"  # the bytes are not HTTP
    WATCHED = "watched"  # the answer did not end; the watch did, or the client disconnected
    NO_CONNECTION = "no connection"
    NO_TLS = "no TLS"


@dataclass
class Capture:
    """One answer. Times are in seconds since the request was sent.

    Attributes:
        status: the status code; 0: no answer began.
        pieces: the pieces of the body, each with its time, without the frames of chunks.
        ended: when the exchange ended.
        ending: how it ended.
        error: the text of the client, the system or the protocol about an end that is not HTTP's.
            Empty: the end was HTTP's.
        headers: the headers of the answer.
        began: when the request was sent, on the clock of `time.monotonic()`.
        head_at: when the head of the answer came. None: it did not, or the client does not say.
    """

    status: int = 0
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    ended: float = 0.0
    ending: End = End.WATCHED
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    began: float = 0.0
    head_at: float | None = None

    @property
    def body(self) -> bytes:
        """Return all pieces joined."""
        return b"".join(data for _, data in self.pieces)

    @property
    def text(self) -> str:
        """Return the body as text; invalid bytes become replacement characters."""
        return self.body.decode(errors="replace")

    @property
    def media_type(self) -> str:
        """Return the body's type as it was written, without parameters. Empty: it has none."""
        return self.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def content_type(self) -> str:
        """Return the body's type in lower case, without parameters. Empty: it has none."""
        return self.media_type.lower()

    @property
    def first(self) -> float | None:
        """Return when the first byte of the body came. None: no byte came."""
        return self.pieces[0][0] if self.pieces else None

    @property
    def pause(self) -> float:
        """Return the longest wait for a piece, or for the end, after the first piece."""
        return max(self._waits, default=0.0)

    @property
    def _waits(self) -> list[float]:
        times = [at for at, _ in self.pieces] + [self.ended]
        return [later - earlier for earlier, later in pairwise(times)]

    @property
    def was_cut(self) -> bool:
        """Tell whether the connection ended before the answer did."""
        return self.ending in (End.CLOSED, End.RESET, End.BROKEN)

    @property
    def end(self) -> str:
        """Return "whole", "cut", "still open", or "refused" with the status.

        Whole means that HTTP says so; the text may still be an error.
        """
        if self.was_cut or self.ending in (End.NO_CONNECTION, End.NO_TLS):
            return CUT if self.status else REFUSED
        if self.ending is End.WATCHED:
            return OPEN
        return WHOLE if self.status in (101, 200) else f"{REFUSED} with {self.status}"

    @property
    def manner(self) -> str:
        """Return how the body came, in words.

        Token by token, all at once, with a standstill, or not at all. All at once means that the
        first byte came after more than 70 % of the time.
        """
        if self.first is None:
            return NOT_AT_ALL
        if self.first > 0.7 * self.ended:
            return AT_ONCE
        far_longer = min(self.ended / 2, FAR * median(self._waits))
        return STOOD_STILL if self.pause > max(STANDSTILL, far_longer) else TOKEN_BY_TOKEN


def read(
    url: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    leave_after: float | None = None,
    when_it_begins: Callable[[], object] | None = None,
) -> Capture:
    """Send a request, and read the answer to its end.

    Args:
        url: the address.
        body: the body to send as JSON by POST. None: send GET.
        headers: the headers of the request. None: the client's own.
        leave_after: seconds after which this client closes the connection. None: it stays.
        when_it_begins: called when the first piece has come.
    """
    capture = Capture(began=time.monotonic())
    try:
        with (
            direct_client(timeout=httpx2.Timeout(PATIENCE)) as client,
            client.stream(
                "GET" if body is None else "POST", url, json=body, headers=headers
            ) as answer,
        ):
            capture.status, capture.headers = answer.status_code, dict(answer.headers)
            capture.ending = End.WHOLE
            for data in answer.iter_raw():
                capture.pieces.append((time.monotonic() - capture.began, data))
                if len(capture.pieces) == 1 and when_it_begins is not None:
                    when_it_begins()
                if leave_after is not None and capture.pieces[-1][0] >= leave_after:
                    capture.ending = End.WATCHED
                    break
    except httpx2.TransportError as failure:
        capture.error = f"{type(failure).__name__}: {failure}"
        capture.ending = End.CLOSED if capture.status else End.NO_CONNECTION
    capture.ended = time.monotonic() - capture.began
    return capture


def read_all(urls: Mapping[str, str], **options: Any) -> dict[str, Capture]:
    """Read several answers side by side.

    Args:
        urls: the addresses by name; the captures have the same names.
        options: further arguments of `read`.
    """
    with ThreadPoolExecutor(len(urls)) as pool:
        captures = [pool.submit(read, url, **options) for url in urls.values()]
        return {name: capture.result() for name, capture in zip(urls, captures, strict=True)}


def side_by_side(
    *urls: str, apart: float = 0.0, meanwhile: Callable[[], object] | None = None
) -> list[Capture]:
    """Send several requests, each once the answer to the previous one has begun.

    Args:
        urls: the addresses.
        apart: seconds between the beginning of an answer and the next request.
        meanwhile: called when the last answer has begun, `apart` seconds later.
    """
    with ThreadPoolExecutor(len(urls)) as pool:
        reads = []
        for number, url in enumerate(urls, 1):
            begun = threading.Event()
            reads.append(pool.submit(read, url, when_it_begins=begun.set))
            # A refused answer never begins, so its end counts, too.
            reads[-1].add_done_callback(lambda _, begun=begun: begun.set())  # type: ignore[misc]
            if number < len(urls) or meanwhile is not None:
                begun.wait(PATIENCE)
                time.sleep(apart)
        if meanwhile is not None:
            meanwhile()
        return [each.result() for each in reads]
