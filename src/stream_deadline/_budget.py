"""The bounds of one call, and how much is left of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from stream_deadline import _clock
from stream_deadline._deadline import NEVER, Deadline, ambient
from stream_deadline._errors import AnswerCutShort, Bound, StreamDeadlineExceeded, later
from stream_deadline._expiry import Expiry, current_span, report_expiry

# A timer that fires this many seconds late was delayed by its own process, not by the server.
STOOD_STILL = 0.01
# The most seconds by which a bound is postponed for that, once for each silence.
MOST_FORGIVEN = 0.25
# Seconds within which the ends of a call and of its part are one.
SAME_MOMENT = 0.1


def seconds(name: str, value: Any) -> float | None:
    """Check a bound in seconds; None stays None, which is no bound.

    Args:
        name: the parameter's name, for the error.
        value: what was passed for it.

    Raises:
        ValueError: `value` is zero, negative, NaN, infinite, or no number. A bool or a string is no
            number here.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(
            f"{name} must be a number of seconds, or None for no bound; got {value!r}."
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(
            f"{name} must be a positive number of seconds, or None for no bound; got {value!r}."
        )
    return number


@dataclass(frozen=True)
class Bounds:
    """The three bounds of a call, in seconds. None: no bound.

    Attributes:
        timeout: from the start of the call to the end of the answer.
        first_chunk_timeout: from the start of the call to the first chunk that says something.
        idle_timeout: from such a chunk to the next, while the call waits for the server.

    Raises:
        ValueError: a bound is not a positive number, or a part is longer than the whole, so that it
            could never act.
    """

    timeout: float | None = None
    first_chunk_timeout: float | None = None
    idle_timeout: float | None = None

    @property
    def has_parts(self) -> bool:
        """Whether it matters when a chunk comes, and not only when the last one does."""
        return self.first_chunk_timeout is not None or self.idle_timeout is not None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, seconds(field.name, getattr(self, field.name)))
        for name in ("first_chunk_timeout", "idle_timeout"):
            part = getattr(self, name)
            if self.timeout is not None and part is not None and part > self.timeout:
                raise ValueError(
                    f"{name}={part:g} is longer than timeout={self.timeout:g}, so it could never "
                    "act."
                )


class Budget:
    """What one call has left of its bounds.

    A budget is made when a call begins. A model has none, so that its calls cannot disturb each
    other.

    Attributes:
        clock: gives seconds.
        started: when the call began.
        total_at: when the call ends for good.
        due: when the next bound is reached, if nothing more is heard.
        chunks: how many have been handed over, as far as the call counts them here.
        name_model: gives the name of the model, for the report; None: not known.
        host: that the latest request was for; None: there was none.
        outer: the budget of the call that this one is a part of; None: it is a part of none.
        ended_below: whether a layer below the call has found a bound reached. The bound may be
            postponed right after that, and the call has ended all the same.
    """

    __slots__ = (
        "_bounds",
        "_deadlines",
        "_first_at",
        "_forgiven",
        "_idle_at",
        "_is_reported",
        "_revoked",
        "_span",
        "_total",
        "chunks",
        "clock",
        "due",
        "ended_below",
        "host",
        "name_model",
        "outer",
        "started",
        "total_at",
    )

    def __init__(
        self, bounds: Bounds, clock: Callable[[], float], until: Deadline | None = None
    ) -> None:
        """Start the clock.

        Args:
            bounds: the bounds of this call.
            clock: gives seconds.
            until: a further deadline of this call; None: only `bounds` and the ambient deadlines.
        """
        self.clock = clock
        self.started = clock()
        self._bounds = bounds
        self._total: tuple[float, Bound, float]
        self.total_at: float
        holding = (until, *ambient())
        self._deadlines = tuple(e for e in holding if e is not None and e.at < NEVER)
        self._revoked = False
        first = bounds.first_chunk_timeout
        self._first_at = NEVER if first is None else self.started + first
        self._idle_at = NEVER
        self._forgiven = False
        self.chunks = 0
        self.name_model: Callable[[], str | None] = _unknown
        self.host: str | None = None
        self.outer: Budget | None = None
        self.ended_below = False
        self._is_reported = False
        self._span = current_span()
        self._find_total()

    @property
    def watches_chunks(self) -> bool:
        """Whether it matters when a chunk comes, and not only when the last one does."""
        return self._bounds.has_parts

    def remaining(self) -> float:
        """Return the seconds until `total_at`; infinite without a bound."""
        return self.total_at - self.clock()

    def revoke(self) -> None:
        """Leave nothing from now on, since the client of this call has disconnected."""
        at = self.clock()
        if at < self.total_at:
            self._revoked = True
            self._total = (at, "caller", at - self.started)
            self.total_at = at
            self._find_due()

    def was_lifted(self) -> bool:
        """Return whether the deadline that seemed to have passed no longer holds."""
        if self._revoked or all(each.at < NEVER for each in self._deadlines):
            return False
        self._find_total()
        return self.total_at > self.clock()

    def note_progress(self) -> None:
        """Note that the model has said something."""
        self._first_at = NEVER
        self._forgiven = False
        if self._bounds.idle_timeout is not None:
            self._idle_at = self.clock() + self._bounds.idle_timeout
        self._find_due()

    def exclude(self, length: float) -> None:
        """Do not count `length` seconds as the server's silence, since the call did not wait."""
        self._first_at += length
        self._idle_at += length
        self._find_due()

    def forgive(self, late: float) -> bool:
        """Postpone a part that was noticed late, and return whether it was postponed.

        That happens once for each silence and by `MOST_FORGIVEN` at most. Otherwise a process that
        is always late would never reach the bound.

        Args:
            late: seconds by which the timer fired late.
        """
        if late <= STOOD_STILL or self._forgiven or self.due >= self.total_at or _clock.is_virtual:
            return False
        self._forgiven = True
        self.exclude(min(late, MOST_FORGIVEN) + STOOD_STILL)
        return True

    def is_used_up(self) -> bool:
        """Return whether the whole is used up, and not only a part."""
        return self.clock() >= self.total_at

    def error(self, chunks: int, partial: Callable[[], Any]) -> StreamDeadlineExceeded:
        """Make the error for the bound that was reached first, and report it once.

        Args:
            chunks: how many chunks have arrived.
            partial: gives what has arrived, when the error's `partial` is read.
        """
        bound, limit = self._reached()
        self.chunks = chunks
        self.report()
        return StreamDeadlineExceeded(
            bound, limit, self.clock() - self.started, chunks, later(partial)
        )

    def quiet_error(self) -> StreamDeadlineExceeded:
        """Make the error for a layer below the call, which reports its end itself."""
        self.ended_below = True
        bound, limit = self._reached()
        return StreamDeadlineExceeded(bound, limit, self.clock() - self.started)

    def report(self) -> None:
        """Report once that a bound has been reached; see `_expiry.py`."""
        bound, limit = self._reached()
        if self._is_reported:
            return
        self._is_reported = True
        outer = self.outer
        if outer is not None and self.clock() >= outer.due - SAME_MOMENT:
            outer.report()  # what has ended both is reported by the outer call
            return
        elapsed = self.clock() - self.started
        expiry = Expiry(bound, limit, elapsed, self.chunks, self.name_model(), self.host)
        report_expiry(expiry, self._span)

    def _reached(self) -> tuple[Bound, float]:
        """Return the bound that was reached first, and its value."""
        bounds, reached = self._bounds, self._total
        if self._first_at < reached[0]:
            reached = (self._first_at, "first_chunk_timeout", bounds.first_chunk_timeout or NEVER)
        if self._idle_at < reached[0]:
            reached = (self._idle_at, "idle_timeout", bounds.idle_timeout or NEVER)
        return reached[1], reached[2]

    def cut_short(self, chunks: int, partial: Callable[[], Any]) -> AnswerCutShort:
        """Make the error for a stream that ended without its finish reason; see `error`."""
        return AnswerCutShort(self.clock() - self.started, chunks, later(partial))

    def _find_total(self) -> None:
        ends: list[tuple[float, Bound, float]] = [(NEVER, "timeout", NEVER)]
        if (timeout := self._bounds.timeout) is not None:
            ends.append((self.started + timeout, "timeout", timeout))
        ends += [(each.at, "deadline", each.limit) for each in self._deadlines]
        self._total = min(ends, key=lambda end: end[0])
        self.total_at = self._total[0]
        self._find_due()

    def _find_due(self) -> None:
        due, first, idle = self.total_at, self._first_at, self._idle_at
        if first < due:
            due = first
        self.due = idle if idle < due else due  # `min` takes three times as long


def _unknown() -> None:
    """Name no model."""
