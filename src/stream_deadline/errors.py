"""What a caller catches."""

import logging
from collections.abc import Callable
from typing import Any, Literal, Self

Bound = Literal["timeout", "first_chunk_timeout", "idle_timeout", "deadline", "caller"]

_WHAT = {
    "timeout": "The answer was not finished {limit:g} s after the call began (timeout={limit:g}). {come} "
    "Raise `timeout` if the answer needs longer.",
    "first_chunk_timeout": "Nothing had been said {limit:g} s after the call began (first_chunk_timeout={limit:g}). "
    "Raise `first_chunk_timeout` if the queue or the prompt is long.",
    "idle_timeout": "Nothing new had been said for {limit:g} s (idle_timeout={limit:g}). {come} "
    "Raise `idle_timeout` if such pauses are healthy.",
    "deadline": "The budget of {limit:g} s set by `with deadline({limit:g})` was used up, {elapsed:.2f} s into this call. {come} "
    "Raise the budget if the work inside needs longer.",
    "caller": "The caller for whom this was asked has left, {elapsed:.2f} s into this call. {come}",
}

_log = logging.getLogger("stream_deadline")


class _WithPartial(OSError):
    """What both errors share: how far the answer had come."""

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
        """What had arrived until then: an `AIMessageChunk` from a chat model.

        None if nothing had, or from a stream of which only the caller knows how its items add up. It is put together when it is
        first read: at the deadline there is no time for it.
        """
        if isinstance(self._partial, _Later):
            self._partial = self._partial.value()
        return self._partial

    def _notes(self) -> dict[str, Any]:
        """What `add_note` added, for a copy."""
        return {"__notes__": list(self.__notes__)} if hasattr(self, "__notes__") else {}

    def _come(self) -> str:
        return "Nothing had come." if not self.chunks else f"{self.chunks} chunk{'s' * (self.chunks != 1)} had come."


class StreamDeadlineExceeded(_WithPartial, TimeoutError):
    """Raised when an answer is not there, or not finished, by its deadline.

    As a `TimeoutError` it is an `OSError`, which LangGraph's default policy does not retry: a budget that is used up stays so.

    Attributes:
        bound: which bound ended the call, named as the parameter to change: "timeout", "first_chunk_timeout", "idle_timeout", or
            "deadline" for the budget of a `with deadline(…)` around the call. "caller": none; whoever the call was for has left.
        limit: the value of that bound, in seconds; for "caller" the same as `elapsed`.
        elapsed: how long the call had taken, in seconds.
        chunks: how many chunks had been handed over, or were about to be.
    """

    def __init__(self, bound: Bound, limit: float, elapsed: float, chunks: int = 0, partial: Any = None) -> None:
        self.bound: Bound = bound
        self.limit = limit
        super().__init__(elapsed, chunks, partial)

    def __str__(self) -> str:
        return _WHAT[self.bound].format(limit=self.limit, elapsed=self.elapsed, come=self._come())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.bound, self.limit, self.elapsed, self.chunks, self.partial), self._notes()


class AnswerCutShort(_WithPartial, ConnectionError):
    """Raised when a stream ends in order, but without the reason for its end that a whole answer has.

    A server, or a proxy before it, has given up in the middle; what came is a half. As a `ConnectionError` it is one that LangGraph's
    default policy retries. `ChatVllm(require_finish_reason=False)` takes such answers for whole, for servers that never give one.

    Attributes:
        elapsed: how long the call had taken, in seconds.
        chunks: how many chunks had come.
    """

    def __init__(self, elapsed: float, chunks: int = 0, partial: Any = None) -> None:
        super().__init__(elapsed, chunks, partial)

    def __str__(self) -> str:
        return (
            f"The stream ended after {self.elapsed:.2f} s without a finish reason, so the answer is a half. {self._come()} "
            "Look for what cuts it at the server or a proxy before it; if the server never sends a finish reason, set "
            "`require_finish_reason=False`."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.elapsed, self.chunks, self.partial), self._notes()


class _Later:
    """A value that is made when it is asked for."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def value(self) -> Any:
        try:
            return self._make()
        except Exception:  # the error itself matters more than what had come
            _log.exception("What had come of the answer could not be put together.")
            return None


def later(make: Callable[[], Any]) -> Any:
    """A `partial` that `make` gives, once it is read; None if that fails."""
    return _Later(make)
