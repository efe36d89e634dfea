"""The ambient deadline, by which all work inside a `with` block must be done."""

import asyncio
import contextvars
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from types import TracebackType
from typing import Literal

from stream_deadline._call_group import no_group

NEVER = math.inf


class Deadline:
    """A moment by which work must be done.

    Attributes:
        at: seconds on the clock of `time.monotonic()`, or of the running event loop if that has
            another one; infinite: no bound.
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
        """Make a deadline that is `limit` seconds from now.

        Args:
            limit: seconds; zero or less: the deadline has passed already. None: no bound.

        Raises:
            ValueError: `limit` is not a number, NaN, or infinite.
        """
        if limit is None:
            return _NO_DEADLINE
        if isinstance(limit, bool) or not isinstance(limit, Real) or not math.isfinite(limit):
            raise ValueError(
                "A deadline must be a number of seconds from now, or None for no bound; got "
                f"{limit!r}."
            )
        return cls(now() + float(limit), float(limit))

    def lift(self) -> None:
        """Stop bounding anything, the calls that are under way included. Safe from any thread."""
        self.at = NEVER

    def remaining(self) -> float:
        """Return the seconds left; negative once it has passed, infinite without a bound."""
        return self.at - now()

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.remaining() <= 0


_NO_DEADLINE = Deadline(NEVER, NEVER)
# All deadlines that hold, the outermost first. When one is lifted, the others still hold.
_ambient: contextvars.ContextVar[tuple[Deadline, ...]] = contextvars.ContextVar(
    "stream_deadline", default=()
)


class deadline:
    """Bound every call inside a `with` block to what is left of `limit` seconds.

        with deadline(30) as due:
            documents = retriever.invoke(question)
            answer = await chain.ainvoke(documents)  # has what the retriever left

    The deadline reaches wherever context variables reach: tasks, chains, `asyncio.to_thread`; not a
    bare `threading.Thread`. Blocks nest. An inner block can shorten the budget but not extend it.
    The block itself is not interrupted: only calls of `ChatVllm`, `bounded` and `bounded_sync` look
    at the deadline.

    .. note:: Do not hold it across a `yield` of an async generator. The next item may be pulled in
        another task, where the deadline is not set. `bounded` is made for that.

    Args:
        limit: seconds; zero or less, as left-overs can be: calls inside end at once. None: no
            bound.

    Raises:
        ValueError: `limit` is not a number of seconds.
        RuntimeError: the block is entered twice, or left in another task or thread than it was
            entered in.
    """

    def __init__(self, limit: float | None) -> None:
        self._new = Deadline.after(limit)
        self._token: contextvars.Token[tuple[Deadline, ...]] | None = None
        self._state: Literal["new", "entered", "left"] = "new"

    def __enter__(self) -> Deadline:
        """Return the deadline that holds inside: this one, or an outer one that comes sooner."""
        if self._state != "new":
            raise RuntimeError(
                f"This `deadline` was {self._state} already; make a new one for each block."
            )
        holding = (*_ambient.get(), self._new)
        self._token = _ambient.set(holding)
        self._state = "entered"
        return min(holding, key=lambda each: each.at)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is None:
            raise RuntimeError("This `deadline` was not entered.")
        token, self._token, self._state = self._token, None, "left"
        try:
            _ambient.reset(token)
        except ValueError:
            raise RuntimeError(
                "`with deadline(…)` was left in another task or thread than it was entered in; do "
                "not hold it across a yield."
            ) from error


@contextmanager
def no_deadline() -> Iterator[None]:
    """Begin work that may outlive its request.

        with no_deadline():
            asyncio.create_task(save_a_summary(answer))  # its calls have only their own bounds

    No ambient `deadline` bounds the calls inside, and a client that disconnects does not end them.
    This is for work that a request starts and does not wait for. It reaches wherever context
    variables reach, and a `deadline` inside holds again.
    """
    token = _ambient.set(())
    try:
        with no_group():
            yield
    finally:
        _ambient.reset(token)


def ambient() -> tuple[Deadline, ...]:
    """Return all deadlines that hold here, the outermost first."""
    return _ambient.get()


def remaining() -> float:
    """Return the seconds left here; negative once the deadline has passed, infinite without one."""
    return min((each.at for each in _ambient.get()), default=NEVER) - now()


def now() -> float:
    """Return the time that deadlines are measured by, in seconds."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.monotonic()
    return clock_of(loop)()


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the clock of an event loop's timers.

    The clock of asyncio and uvloop is the monotonic one, but uvloop reads it only once per turn of
    the loop, and a busy consumer can make a turn long. So the monotonic clock itself is read. A
    loop with a time of its own, such as a test's, keeps it.
    """
    return time.monotonic if abs(loop.time() - time.monotonic()) < 1.0 else loop.time
