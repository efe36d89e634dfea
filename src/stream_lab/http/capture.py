"""An answer over HTTP as its client sees it: when its bytes came, and how it ended."""

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import httpx2

PATIENCE = 30.0  # seconds of silence after which a client gives up, so that nothing here can hang
WHOLE, CUT, REFUSED, OPEN = "whole", "cut", "refused", "still open"


@dataclass(frozen=True)
class Answer:
    """What came of one request. Times in seconds since it was sent.

    Attributes:
        status: of HTTP; 0: none came.
        pieces: when each piece came, and what was in it.
        ended: when the answer was over, one way or the other.
        error: what the client raised; empty: nothing, the answer came to its end.
        headers: of the answer, names in lower case.
        still_open: whether it was not over when the client left.
    """

    status: int
    pieces: list[tuple[float, bytes]]
    ended: float
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    still_open: bool = False

    @property
    def text(self) -> str:
        return b"".join(data for _, data in self.pieces).decode(errors="replace")

    @property
    def first(self) -> float | None:
        """When the first byte of the body came; None: none did."""
        return self.pieces[0][0] if self.pieces else None

    @property
    def pause(self) -> float:
        """The longest wait for a piece, or for the end, after the first piece."""
        times = [at for at, _ in self.pieces] + [self.ended]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    @property
    def end(self) -> str:
        """ "whole", "cut", "still open", or "refused" with its status. Whole means that HTTP says so; what was said may still be an error."""
        if self.error:
            return CUT if self.status else REFUSED
        if self.still_open:
            return OPEN
        return WHOLE if self.status == 200 else f"{REFUSED} with {self.status}"

    @property
    def manner(self) -> str:
        """How it came: "as it is made", or "all at once" if it came at the end of a wait that was as good as all of the time."""
        if self.first is None:
            return "not at all"
        return "all at once" if self.first > 0.7 * self.ended else "as it is made"


def side_by_side(*urls: str, apart: float = 0.0, meanwhile: Callable[[], object] | None = None) -> list[Answer]:
    """Ask for all of them at the same time, in this order: each when the one before has begun to answer.

    `apart`: seconds between that beginning and the next. `meanwhile`: done so many seconds after the last has begun.
    """
    with ThreadPoolExecutor(len(urls)) as pool:
        asked = []
        for number, url in enumerate(urls, 1):
            begun = threading.Event()
            asked.append(pool.submit(read, url, when_it_begins=begun.set))
            # Its end counts, too: an answer that is refused never begins.
            asked[-1].add_done_callback(lambda _, begun=begun: begun.set())  # type: ignore[misc]
            if number < len(urls) or meanwhile is not None:
                begun.wait(PATIENCE)
                time.sleep(apart)
        if meanwhile is not None:
            meanwhile()
        return [each.result() for each in asked]


def read(
    url: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    leave_after: float | None = None,
    when_it_begins: Callable[[], object] | None = None,
) -> Answer:
    """Ask, and read the answer to its end, noting when each piece comes.

    `body`: sent as JSON by POST; None: GET. `leave_after`: seconds after which this client closes the connection; None: it stays.
    `when_it_begins`: called when the first piece has come.
    """
    began = time.monotonic()
    status, pieces, error, came, left = 0, [], "", {}, False
    timeout = httpx2.Timeout(PATIENCE)
    try:
        with (
            httpx2.Client(timeout=timeout, trust_env=False, verify=_trusted()) as client,
            client.stream("GET" if body is None else "POST", url, json=body, headers=headers) as answer,
        ):
            status, came = answer.status_code, dict(answer.headers)
            for data in answer.iter_raw():
                pieces.append((time.monotonic() - began, data))
                if len(pieces) == 1 and when_it_begins is not None:
                    when_it_begins()
                if leave_after is not None and pieces[-1][0] >= leave_after:
                    left = True
                    break
    except httpx2.TransportError as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Answer(status, pieces, time.monotonic() - began, error, came, left)


def read_all(urls: Mapping[str, str], **options: Any) -> dict[str, Answer]:
    """Read several answers side by side. `urls`: by name, which the answers keep. `options`: of `read`."""
    with ThreadPoolExecutor(len(urls)) as pool:
        answers = [pool.submit(read, url, **options) for url in urls.values()]
        return {name: answer.result() for name, answer in zip(urls, answers, strict=True)}


@cache
def _trusted() -> ssl.SSLContext:
    """Made once: it reads all the certificates there are, which takes longer than most requests here."""
    return httpx2.create_ssl_context(trust_env=False)
