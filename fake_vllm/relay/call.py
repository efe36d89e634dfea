"""The answer of another server as it comes in."""

from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from fake_vllm.relay.request import RelayedRequest

HeaderList = list[tuple[str, str]]
CallEnd = Literal["complete", "closed", "reset"]
MOST_WAITING = 2**20
"""Bytes that may wait for a slow client or scenario; then the other server has to wait."""


class Head(NamedTuple):
    """The head of an answer.

    Attributes:
        status: the status code.
        reason: the words after it.
        headers: the headers, in order, as they were written.
    """

    status: int
    reason: str
    headers: HeaderList

    def get(self, name: str) -> str:
        """Return the value of a header in lower case, or an empty text."""
        values = (value for own, value in self.headers if own.lower() == name)
        return next(values, "").strip().lower()


class Call:
    """One question to another server.

    Attributes:
        head: the head of the answer. None: it has not come.
        end: how the answer ended. None: it goes on.
        error: why there is no answer, as a sentence. None: there may be one.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self.end: CallEnd | None = None
        self.error: str | None = None
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._wake: Callable[[], None] = _nothing

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to ask; `wake` is called whenever something has come."""
        self._wake = wake

    def close(self) -> None:
        """Give up, and let the other server know at once."""

    def take(self) -> bytes:
        """Return the next bytes of the body; nothing if none have come."""
        if not self._parts:
            return b""
        part = self._parts.popleft()
        self._size -= len(part)
        self._flow(full=self._size >= MOST_WAITING)
        return part

    def _flow(self, *, full: bool) -> None:
        """Let the other server wait if too much has come."""

    # What has come.

    def _came(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        self._flow(full=self._size >= MOST_WAITING)
        self._wake()

    def _began(self, head: Head) -> None:
        self.head = head
        self._wake()

    def _ended(self, end: CallEnd) -> None:
        if self.end is None and self.error is None:
            self.end = end
            self._wake()

    def _failed(self, error: str) -> None:
        if self.end is None and self.error is None:
            self.error = error
            self._wake()


class NoAnswer(Exception):
    """Raised when there is no answer to a request; the text says why."""


def _nothing() -> None:
    pass


class Answers(Protocol):
    """The other server."""

    def ask(self, request: RelayedRequest) -> Call:
        """Return the call for a request, which has not begun.

        Raises:
            NoAnswer: there is none.
        """
