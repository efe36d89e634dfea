"""What a caller catches."""

from typing import Any, Literal

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


class StreamDeadlineExceeded(TimeoutError):
    """Raised when an answer is not there, or not finished, by its deadline.

    As a `TimeoutError` it is an `OSError`, which LangGraph's default policy does not retry: a budget that is used up stays so.

    Attributes:
        bound: which bound ended the call, named as the parameter to change: "timeout", "first_chunk_timeout", "idle_timeout", or
            "deadline" for the budget of a `with deadline(…)` around the call. "caller": none; whoever the call was for has left.
        limit: the value of that bound, in seconds; for "caller" the same as `elapsed`.
        elapsed: how long the call had taken, in seconds.
        chunks: how many chunks had been handed over.
        partial: what had arrived until then: an `AIMessageChunk` from a chat model; None if nothing had, or from a stream of
            which only the caller knows how its items add up.
    """

    def __init__(self, bound: Bound, limit: float, elapsed: float, chunks: int = 0, partial: Any = None) -> None:
        super().__init__(bound, limit, elapsed, chunks, partial)
        self.bound: Bound = bound
        self.limit = limit
        self.elapsed = elapsed
        self.chunks = chunks
        self.partial = partial

    def __str__(self) -> str:
        come = "Nothing had come." if not self.chunks else f"{self.chunks} chunk{'s' * (self.chunks != 1)} had come."
        return _WHAT[self.bound].format(limit=self.limit, elapsed=self.elapsed, come=come)
