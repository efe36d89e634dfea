"""Bounds in seconds, and what one call has left of them."""

import asyncio
import contextvars
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from types import TracebackType
from typing import Any

from stream_deadline.errors import Bound, StreamDeadlineExceeded

NEVER = math.inf


def seconds(name: str, value: Any) -> float | None:
    """`value` as a bound in seconds; None stays None, no bound.

    Raises:
        ValueError: it is zero, negative, not a number, infinite, or of another type; a bool or a string is not a number here.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be a number of seconds, or None for no bound; got {value!r}.")
    number = float(value)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} must be a positive number of seconds, or None for no bound; got {value!r}.")
    return number


@dataclass(frozen=True)
class Bounds:
    """The three bounds of a call, in seconds; None is off.

    Attributes:
        timeout: from the start of the call to the end of the answer, everything included.
        first_chunk_timeout: from the start of the call to the first chunk that says something.
        idle_timeout: between two chunks that say something, while somebody waits for the next.

    Raises:
        ValueError: one of them is not a positive number, or a part is longer than the whole, so that it could never act.
    """

    timeout: float | None = None
    first_chunk_timeout: float | None = None
    idle_timeout: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, seconds(field.name, getattr(self, field.name)))
        for name in ("first_chunk_timeout", "idle_timeout"):
            part = getattr(self, name)
            if self.timeout is not None and part is not None and part > self.timeout:
                raise ValueError(f"{name}={part:g} is longer than timeout={self.timeout:g}, so it could never act.")


@dataclass(frozen=True)
class Deadline:
    """A moment by which work must be done.

    Attributes:
        at: on the clock of `time.monotonic()`, or of the running event loop where that has another; infinite: no bound.
        limit: the seconds it was made from, for messages.
    """

    at: float
    limit: float

    @classmethod
    def after(cls, limit: float | None) -> "Deadline":
        """So many seconds from now. None: never. Zero or less: already over.

        Raises:
            ValueError: `limit` is not a number, NaN, or infinite.
        """
        if limit is None:
            return _NO_DEADLINE
        if isinstance(limit, bool) or not isinstance(limit, Real) or not math.isfinite(limit):
            raise ValueError(f"A deadline must be a number of seconds from now, or None for no bound; got {limit!r}.")
        return cls(now() + float(limit), float(limit))

    def remaining(self) -> float:
        """Seconds left; negative once it has passed, infinite without a bound."""
        return self.at - now()

    @property
    def expired(self) -> bool:
        return self.remaining() <= 0


_NO_DEADLINE = Deadline(NEVER, NEVER)
_ambient: contextvars.ContextVar[Deadline] = contextvars.ContextVar("stream_deadline", default=_NO_DEADLINE)


class deadline:
    """Bound every call inside a `with` block to what is left of `limit` seconds, whatever time-outs of their own they have.

        with deadline(30) as budget:
            documents = retriever.invoke(question)
            answer = await chain.ainvoke(documents)  # has what the retriever left

    The budget goes wherever context variables go: into tasks, chains, `asyncio.to_thread`; not into a bare `threading.Thread`.
    Blocks nest, and an inner one can shorten the budget but not extend it. The block itself is not interrupted: only calls of
    `ChatVllm`, `bounded` and `bounded_sync` look at it. Zero or less is a budget that is used up already, as left-overs can be:
    calls inside end at once. None sets no bound.

    .. note:: Do not hold it across a `yield` of an async generator: whoever pulls the next item may be another task, where the
        budget is not set. `bounded` is made for that.

    Raises:
        ValueError: `limit` is not a number of seconds.
        RuntimeError: at the end of a block that is left in another task or thread than it was entered in.
    """

    def __init__(self, limit: float | None) -> None:
        self._new = Deadline.after(limit)
        self._token: contextvars.Token[Deadline] | None = None

    def __enter__(self) -> Deadline:
        """The deadline that holds inside: the new one, or that of an outer block if it comes sooner."""
        chosen = min(_ambient.get(), self._new, key=lambda each: each.at)
        self._token = _ambient.set(chosen)
        return chosen

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._token is not None
        try:
            _ambient.reset(self._token)
        except ValueError:
            raise RuntimeError(
                "`with deadline(…)` was left in another task or thread than it was entered in; do not hold it across a yield."
            ) from error


def remaining() -> float:
    """Seconds left of the ambient budget; negative once it has passed, infinite without one."""
    return _ambient.get().remaining()


class Budget:
    """What one call has left. Made when the call starts; a model has none, so that its calls cannot disturb each other.

    Attributes:
        started: when the call began.
        total_at: when it ends for good.
        due: when the next of its bounds is reached, if nothing more is heard and somebody waits.
    """

    __slots__ = ("_bounds", "_first_at", "_idle_at", "_total", "clock", "due", "started", "total_at")

    def __init__(self, bounds: Bounds, clock: Callable[[], float], until: Deadline | None = None) -> None:
        """`clock` gives seconds. `until`: a further deadline that this call was given; None: only `bounds` and the ambient one."""
        self.clock = clock
        self.started = clock()
        self._bounds = bounds
        ends: list[tuple[float, Bound, float]] = [(NEVER, "timeout", NEVER)]
        if bounds.timeout is not None:
            ends.append((self.started + bounds.timeout, "timeout", bounds.timeout))
        ends += [(each.at, "deadline", each.limit) for each in (until, _ambient.get()) if each is not None]
        self._total = min(ends, key=lambda end: end[0])
        self.total_at = self._total[0]
        self._first_at = NEVER if bounds.first_chunk_timeout is None else self.started + bounds.first_chunk_timeout
        self._idle_at = NEVER
        self._look()

    @property
    def watches_chunks(self) -> bool:
        """Whether it matters when a chunk comes, and not only when the last one does."""
        return self._bounds.first_chunk_timeout is not None or self._bounds.idle_timeout is not None

    def remaining(self) -> float:
        """Seconds until `total_at`; infinite without a bound."""
        return self.total_at - self.clock()

    def use_up(self) -> None:
        """Nothing is left from now on: the caller for whom the call is made has left."""
        at = self.clock()
        if at < self.total_at:
            self._total = (at, "caller", at - self.started)
            self.total_at = at
            self._look()

    def heard(self) -> None:
        """A chunk came that says something."""
        self._first_at = NEVER
        if self._bounds.idle_timeout is not None:
            self._idle_at = self.clock() + self._bounds.idle_timeout
        self._look()

    def paused(self, length: float) -> None:
        """For so many seconds nobody waited for the server, so that its silence does not count."""
        self._first_at += length
        self._idle_at += length
        self._look()

    def exceeded(self, chunks: int, partial: Any) -> StreamDeadlineExceeded:
        """The error for the bound that was reached first."""
        reached = self._total
        if self._first_at < reached[0]:
            reached = (self._first_at, "first_chunk_timeout", self._bounds.first_chunk_timeout or NEVER)
        if self._idle_at < reached[0]:
            reached = (self._idle_at, "idle_timeout", self._bounds.idle_timeout or NEVER)
        return StreamDeadlineExceeded(reached[1], reached[2], self.clock() - self.started, chunks, partial)

    def _look(self) -> None:
        self.due = min(self.total_at, self._first_at, self._idle_at)


def now() -> float:
    """The time that deadlines are measured by."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.monotonic()
    return clock_of(loop)()


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The clock of an event loop's timers.

    asyncio's and uvloop's is the monotonic clock, but uvloop reads it only once per turn of the loop, which a busy consumer can
    make long. A loop with a time of its own, as a test's, is taken at its word.
    """
    return time.monotonic if abs(loop.time() - time.monotonic()) < 1.0 else loop.time
