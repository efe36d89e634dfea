"""What became of one call, on the caller's side."""

import asyncio
import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx2
import openai

from stream_deadline import AnswerCutShort, StreamDeadlineExceeded

DEADLINE, CANCELLED, LEFT, UNENDED = "deadline", "cancelled", "left", "did not end"
ANSWER, ERROR = "answer", "error"


class ServedLate(TimeoutError):
    """The served application's answer that the deadline has passed."""


class ServedError(Exception):
    """The served application's answer after an error of the model's server."""


FROM_SERVER = (AnswerCutShort, ServedError, openai.APIError, httpx2.HTTPError, json.JSONDecodeError)
"""The errors that a broken answer causes. The SDK does not wrap a transport's in mid-stream."""


@dataclass
class Outcome:
    """One call. Times are those of `time.monotonic()`, which the fake's ledger shares.

    Attributes:
        number: of the call.
        made: when the caller took it up.
        began: when the call began, before anything that belongs to it.
        due: the deadline, by the caller's clock.
        latest: the deadline, if the library's clock was started late because the loop stood still
            or the request was on its way. Set by the judge.
        ended: when the caller had its end. 0: not yet.
        end: "answer", "error", "deadline", "cancelled", "left" (closed or dropped by the caller),
            "did not end", or the name of an unexpected error.
        error: the text of the error. Empty: there was none.
        bound: the bound that the library's error names. None: it was another error.
        chunks: how many chunks the caller has received.
        last_chunk: when the last one came. 0: none came.
        acted: when the caller cancelled, closed or dropped the call, or pulled again after the
            deadline. None: it did not.
    """

    number: int
    made: float = 0.0
    began: float = 0.0
    due: float = 0.0
    latest: float = 0.0
    ended: float = 0.0
    end: str = ""
    error: str = ""
    bound: str | None = None
    chunks: int = 0
    last_chunk: float = 0.0
    acted: float | None = None
    kept: Any = field(default=None, repr=False, compare=False)

    def begin(self, limit: float) -> None:
        """Start the clock of the caller."""
        self.began = time.monotonic()
        self.due = self.latest = self.began + limit

    def note_chunk(self) -> None:
        self.chunks += 1
        self.last_chunk = time.monotonic()

    def act(self) -> None:
        """Note that the caller leaves, or comes back late."""
        self.acted = time.monotonic()

    def note_end(self, error: BaseException | None) -> None:
        """Note the end of the call; None: it returned."""
        self.ended = time.monotonic()
        if error is not None:
            self.error = f"{type(error).__name__}: {error}"[:300]
            self.bound = getattr(error, "bound", None)
        if self.end != LEFT or error is not None:
            self.end = kind_of(error)

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome for JSON, with times in seconds since the call began."""
        values = {**asdict(self), "kept": None}
        del values["kept"]
        for name in ("made", "due", "latest", "ended", "last_chunk", "acted"):
            values[name] = round(values[name] - self.began, 4) if values[name] else None
        return values


def kind_of(error: BaseException | None) -> str:
    """Return in which way an error ends a call."""
    if error is None:
        return ANSWER
    if isinstance(error, StreamDeadlineExceeded | ServedLate):
        return DEADLINE
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED
    if isinstance(error, FROM_SERVER):
        return ERROR
    return f"{type(error).__module__}.{type(error).__qualname__}"
