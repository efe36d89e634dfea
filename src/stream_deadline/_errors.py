"""The errors that callers catch.

OSError
├── TimeoutError
│   └── StreamDeadlineExceeded    a bound was reached
└── ConnectionError
    └── AnswerCutShort            the stream ended without a finish reason
"""

import logging
from collections.abc import Callable
from typing import Any, Literal, Self

Bound = Literal["timeout", "first_chunk_timeout", "idle_timeout", "deadline", "caller"]

_TEXTS = {
    "timeout": "The answer was not finished {limit:g} s after the call began (timeout={limit:g}). "
    "{progress} Raise `timeout` if the answer needs longer.",
    "first_chunk_timeout": "The model said nothing within {limit:g} s of the start of the call "
    "(first_chunk_timeout={limit:g}). "
    "Raise `first_chunk_timeout` if the queue or the prompt is long.",
    "idle_timeout": "The model said nothing new for {limit:g} s (idle_timeout={limit:g}). "
    "{progress} Raise `idle_timeout` if such pauses are healthy.",
    "deadline": "The budget of {limit:g} s set by `with deadline({limit:g})` was used up "
    "{elapsed:.2f} s into this call. {progress} Raise the budget if the work inside needs longer.",
    "caller": "The client for which this call was made has disconnected, "
    "{elapsed:.2f} s into the call. {progress}",
}

_log = logging.getLogger("stream_deadline")


class _PartialAnswer(OSError):
    """What both errors share: how much of the answer had arrived."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        # OSError would read its arguments as an errno, its text and two file names.
        return super().__new__(cls)

    def __init__(self, elapsed: float, chunks: int, partial: Any) -> None:
        self.elapsed = elapsed
        self.chunks = chunks
        self._partial = partial
        self.args = (str(self),)

    @property
    def partial(self) -> Any:
        """What had arrived: an `AIMessageChunk` from a chat model.

        None if nothing had arrived, or if the stream's items are of a kind that this package
        cannot add up. The chunks are merged when this is first read, since there is no time for it
        at the deadline.
        """
        if isinstance(self._partial, _Later):
            self._partial = self._partial.value()
        return self._partial

    def _copied_notes(self) -> dict[str, Any]:
        """Return what `add_note` added, for a copy."""
        return {"__notes__": list(self.__notes__)} if hasattr(self, "__notes__") else {}

    def _progress(self) -> str:
        if not self.chunks:
            return "No chunk had arrived."
        return f"{self.chunks} chunk{'s' * (self.chunks != 1)} had arrived."


class StreamDeadlineExceeded(_PartialAnswer, TimeoutError):
    """Raised when an answer has not come, or is not finished, by its deadline.

    As a `TimeoutError` it is an `OSError`, which LangGraph's default policy does not retry. That is
    intended: a budget that is used up stays used up.

    Attributes:
        bound: which bound ended the call, named as the parameter to change: "timeout",
            "first_chunk_timeout", "idle_timeout", or "deadline" for the budget of a
            `with deadline(…)` around the call. "caller": no bound; the client for which the call
            was made has disconnected.
        limit: the value of that bound in seconds; for "caller" the same as `elapsed`.
        elapsed: how long the call had taken, in seconds.
        chunks: how many chunks had been handed over, or were about to be.
    """

    def __init__(
        self, bound: Bound, limit: float, elapsed: float, chunks: int = 0, partial: Any = None
    ) -> None:
        self.bound: Bound = bound
        self.limit = limit
        super().__init__(elapsed, chunks, partial)

    def __str__(self) -> str:
        text = _TEXTS[self.bound]
        return text.format(limit=self.limit, elapsed=self.elapsed, progress=self._progress())

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.bound, self.limit, self.elapsed, self.chunks, self.partial)
        return type(self), state, self._copied_notes()


class AnswerCutShort(_PartialAnswer, ConnectionError):
    """Raised when a stream ends in order but without a finish reason.

    A server, or a proxy before it, has given up in the middle, and what arrived is half an answer.
    As a `ConnectionError` it is one that LangGraph's default policy retries.
    `ChatVllm(require_finish_reason=False)` accepts such answers, for servers that never send a
    finish reason.

    Attributes:
        elapsed: how long the call had taken, in seconds.
        chunks: how many chunks had arrived.
    """

    def __init__(self, elapsed: float, chunks: int = 0, partial: Any = None) -> None:
        super().__init__(elapsed, chunks, partial)

    def __str__(self) -> str:
        return (
            f"The stream ended after {self.elapsed:.2f} s without a finish reason, so the answer "
            f"is incomplete. {self._progress()} "
            "Look for what cuts it at the server or a proxy before it; if the server never sends a "
            "finish reason, set `require_finish_reason=False`."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.elapsed, self.chunks, self.partial), self._copied_notes()


for _error in (StreamDeadlineExceeded, AnswerCutShort):
    _error.__module__ = "stream_deadline"  # the name by which users import it


class _Later:
    """A value that is made when it is first read."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def value(self) -> Any:
        try:
            return self._make()
        except Exception:  # the error itself matters more than the partial answer
            _log.exception("The partial answer could not be merged.")
            return None


def later(make: Callable[[], Any]) -> Any:
    """Return a `partial` that `make` gives when it is read; None if `make` fails."""
    return _Later(make)
