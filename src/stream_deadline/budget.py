"""Bounds in seconds, and what one call has left of them."""

import asyncio
import contextvars
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from numbers import Real
from types import TracebackType
from typing import Any, Literal

from stream_deadline import scope
from stream_deadline.errors import Bound, StreamDeadlineExceeded, later

NEVER = math.inf

# A timer that fires this many seconds late tells of a process that stood still, and then a silent server is not to blame.
STOOD_STILL = 0.01
# The most seconds that are forgiven for standing still, once for each silence.
MOST_FORGIVEN = 0.25


def seconds(name: str, value: Any) -> float | None:
    """`value` as a bound in seconds; None stays None, no bound.

    Raises:
        ValueError: it is zero, negative, not a number, infinite, or of another type; a bool or a string is not a number here.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be a number of seconds, or None for no bound; got {value!r}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} must be a positive number of seconds, or None for no bound; got {value!r}.")
    return number


@dataclass(frozen=True)
class Bounds:
    """The three bounds of a call, in seconds; None is off.

    Attributes:
        timeout: from the start of the call to the end of the answer, everything included.
        first_chunk_timeout: from the start of the call to the first chunk that says something.
        idle_timeout: between two chunks that say something, while the next is waited for.

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


class Deadline:
    """A moment by which work must be done.

    Attributes:
        at: on the clock of `time.monotonic()`, or of the running event loop where that has another; infinite: no bound.
        limit: the seconds it was made from, for messages.
    """

    __slots__ = ("at", "limit")

    def __init__(self, at: float, limit: float) -> None:
        self.at = at
        self.limit = limit

    def __repr__(self) -> str:
        return f"<Deadline of {self.limit:g} s, {self.remaining():.3f} s left>"

    @classmethod
    def after(cls, limit: float | None) -> "Deadline":
        """Make one that is `limit` seconds from now. None: never. Zero or less: already over.

        Raises:
            ValueError: `limit` is not a number, NaN, or infinite.
        """
        if limit is None:
            return _NO_DEADLINE
        if isinstance(limit, bool) or not isinstance(limit, Real) or not math.isfinite(limit):
            raise ValueError(f"A deadline must be a number of seconds from now, or None for no bound; got {limit!r}.")
        return cls(now() + float(limit), float(limit))

    def lift(self) -> None:
        """Bound nothing any more, the calls that are under way included. May be called from any thread."""
        self.at = NEVER

    def remaining(self) -> float:
        """Seconds left; negative once it has passed, infinite without a bound."""
        return self.at - now()

    @property
    def expired(self) -> bool:
        return self.remaining() <= 0


_NO_DEADLINE = Deadline(NEVER, NEVER)
# All that hold, the outermost first: each can be lifted, and then the others still hold.
_ambient: contextvars.ContextVar[tuple[Deadline, ...]] = contextvars.ContextVar("stream_deadline", default=())


class deadline:
    """Bound every call inside a `with` block to what is left of `limit` seconds, whatever time-outs of their own they have.

        with deadline(30) as due:
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
        RuntimeError: it is entered a second time, or left in another task or thread than it was entered in.
    """

    def __init__(self, limit: float | None) -> None:
        self._new = Deadline.after(limit)
        self._token: contextvars.Token[tuple[Deadline, ...]] | None = None
        self._state: Literal["new", "entered", "left"] = "new"

    def __enter__(self) -> Deadline:
        """The deadline that holds inside: the new one, or that of an outer block if it comes sooner."""
        if self._state != "new":
            raise RuntimeError(f"This `deadline` was {self._state} already; make a new one for each block.")
        holding = (*_ambient.get(), self._new)
        self._token = _ambient.set(holding)
        self._state = "entered"
        return min(holding, key=lambda each: each.at)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is None:
            raise RuntimeError("This `deadline` was not entered.")
        token, self._token, self._state = self._token, None, "left"
        try:
            _ambient.reset(token)
        except ValueError:
            raise RuntimeError(
                "`with deadline(…)` was left in another task or thread than it was entered in; do not hold it across a yield."
            ) from error


@contextmanager
def no_deadline() -> Iterator[None]:
    """Begin work that may outlive what it was begun for: no ambient `deadline` bounds it, and no caller who leaves ends it.

        with no_deadline():
            asyncio.create_task(save_a_summary(answer))  # the calls inside have only their own bounds

    It is the way out for work that a request starts and does not wait for. It goes wherever context variables go, and a
    `deadline` inside holds again.
    """
    token = _ambient.set(())
    try:
        with scope.outside():
            yield
    finally:
        _ambient.reset(token)


def remaining() -> float:
    """Seconds left of the ambient budget; negative once it has passed, infinite without one."""
    return min((each.at for each in _ambient.get()), default=NEVER) - now()


class Budget:
    """What one call has left. Made when the call starts; a model has none, so that its calls cannot disturb each other.

    Attributes:
        started: when the call began.
        total_at: when it ends for good.
        due: when the next of its bounds is reached, if nothing more is heard.
    """

    __slots__ = (
        "_bounds",
        "_deadlines",
        "_first_at",
        "_forgiven",
        "_idle_at",
        "_left",
        "_total",
        "clock",
        "due",
        "started",
        "total_at",
    )

    def __init__(self, bounds: Bounds, clock: Callable[[], float], until: Deadline | None = None) -> None:
        """`clock` gives seconds. `until`: a further deadline that this call was given; None: only `bounds` and the ambient one."""
        self.clock = clock
        self.started = clock()
        self.total_at = self.due = NEVER
        self._bounds = bounds
        self._total: tuple[float, Bound, float] = (NEVER, "timeout", NEVER)
        self._deadlines = tuple(each for each in (until, *_ambient.get()) if each is not None and each.at < NEVER)
        self._left = False
        self._first_at = NEVER if bounds.first_chunk_timeout is None else self.started + bounds.first_chunk_timeout
        self._idle_at = NEVER
        self._forgiven = False
        self._count()

    @property
    def watches_chunks(self) -> bool:
        """Whether it matters when a chunk comes, and not only when the last one does."""
        return self._bounds.first_chunk_timeout is not None or self._bounds.idle_timeout is not None

    def remaining(self) -> float:
        """Seconds until `total_at`; infinite without a bound."""
        return self.total_at - self.clock()

    def use_up(self) -> None:
        """Leave nothing from now on: the caller for whom the call is made has left."""
        at = self.clock()
        if at < self.total_at:
            self._left = True
            self._total = (at, "caller", at - self.started)
            self.total_at = at
            self._look()

    def lifted(self) -> bool:
        """Whether the end that seemed to be reached is one no longer, since its deadline was lifted."""
        if self._left or all(each.at < NEVER for each in self._deadlines):
            return False
        self._count()
        return self.total_at > self.clock()

    def heard(self) -> None:
        """Note that a chunk came which says something."""
        self._first_at = NEVER
        self._forgiven = False
        if self._bounds.idle_timeout is not None:
            self._idle_at = self.clock() + self._bounds.idle_timeout
        self._look()

    def paused(self, length: float) -> None:
        """Leave out `length` seconds in which the server was not waited for, so that its silence does not count."""
        self._first_at += length
        self._idle_at += length
        self._look()

    def forgive(self, late: float) -> bool:
        """Put a part off, as what was watching woke `late` seconds late; whether it was put off.

        Once for each silence, since in a process that is late for good the bound would never be reached, and not for long.
        """
        if late <= STOOD_STILL or self._forgiven or self.due >= self.total_at:
            return False
        self._forgiven = True
        self.paused(min(late, MOST_FORGIVEN) + STOOD_STILL)
        return True

    def over(self) -> bool:
        """Whether the whole is used up, and not only a part."""
        return self.clock() >= self.total_at

    def exceeded(self, chunks: int, partial: Callable[[], Any]) -> StreamDeadlineExceeded:
        """Make the error for the bound that was reached first. `partial` gives what had come, when it is asked for."""
        reached = self._total
        if self._first_at < reached[0]:
            reached = (self._first_at, "first_chunk_timeout", self._bounds.first_chunk_timeout or NEVER)
        if self._idle_at < reached[0]:
            reached = (self._idle_at, "idle_timeout", self._bounds.idle_timeout or NEVER)
        return StreamDeadlineExceeded(reached[1], reached[2], self.clock() - self.started, chunks, later(partial))

    def _count(self) -> None:
        ends: list[tuple[float, Bound, float]] = [(NEVER, "timeout", NEVER)]
        if self._bounds.timeout is not None:
            ends.append((self.started + self._bounds.timeout, "timeout", self._bounds.timeout))
        ends += [(each.at, "deadline", each.limit) for each in self._deadlines]
        self._total = min(ends, key=lambda end: end[0])
        self.total_at = self._total[0]
        self._look()

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
