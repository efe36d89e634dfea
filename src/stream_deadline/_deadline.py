"""The ambient deadline, by which all work inside a `with` block must be done."""

import asyncio
import contextvars
import functools
import inspect
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, cast

from stream_deadline import _clock
from stream_deadline._call_group import no_group
from stream_deadline._decorator import bound_answer, bound_result, is_declared, name_of, no_stream
from stream_deadline._errors import StreamDeadlineExceeded
from stream_deadline._expiry import Expiry, current_span, report_expiry

_log = logging.getLogger("stream_deadline")
P = ParamSpec("P")
R = TypeVar("R")

NEVER = math.inf


class Deadline:
    """A moment by which work must be done.

    Attributes:
        at: seconds on the clock of `time.monotonic()`, or of the running event loop if that has
            another one; infinite: no bound. A WebSocket's is moved with each message.
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
        is_number = isinstance(limit, Real) and not isinstance(limit, bool)
        try:
            number = float(limit) if is_number else math.nan
        except OverflowError:  # 10**400 is no float
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(
                "A deadline must be a number of seconds from now, or None for no bound; got "
                f"{limit!r}."
            )
        return cls(now() + number, number)

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


class Cancellation:
    """Cancels the task that makes it, at a deadline, unless the block is left before.

    As in `asyncio.timeout`, the count of `Task.cancelling` stays right, and a cancellation from
    outside is never taken for its own.
    """

    def __init__(self, holding: tuple[Deadline, ...]) -> None:
        """Set the timer.

        Args:
            holding: all deadlines that hold. Each may be moved or lifted while the others hold.
        """
        self._holding = holding
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("deadline(…, cancel=True) needs a task, and none is running.")
        self._task = task
        self._cancelling = task.cancelling()
        self._state: Literal["waiting", "cancelled", "left"] = "waiting"
        self._started = clock_of(self._loop)()
        self._timer: asyncio.TimerHandle | None = None
        _clock.notify_of_jumps(self._jumped)
        self._arm()

    @property
    def _due(self) -> Deadline:
        return min(self._holding, key=lambda each: each.at)

    def _arm(self) -> None:
        if self._due.at < NEVER:
            late = clock_of(self._loop)() - self._loop.time()  # nothing, or a turn of a busy loop
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._due.at - late, self._look)

    def _jumped(self) -> None:
        if self._state == "waiting" and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if self._state != "waiting":
            return
        if self._due.at > clock_of(self._loop)():
            self._arm()  # it was moved, or the timer came early
        elif self._task.done():
            _log.warning(
                "A deadline(%g, cancel=True) has passed, and the task that entered it has "
                "ended: it is held across a yield, so it cancels nothing. "
                "Bound the stream with `bounded`.",
                self._due.limit,
            )
        else:
            self._state = "cancelled"
            self._task.cancel()

    def leave(self, error: BaseException | None) -> None:
        """Call the cancellation off; turn one of its own into the error of the deadline."""
        if self._timer is not None:
            self._timer.cancel()
        cancelled, self._state = self._state == "cancelled", "left"
        is_ours = cancelled and self._task.uncancel() <= self._cancelling
        if is_ours and isinstance(error, asyncio.CancelledError):
            elapsed = clock_of(self._loop)() - self._started
            report_expiry(
                Expiry("deadline", self._due.limit, elapsed, 0, None, None), current_span()
            )
            raise StreamDeadlineExceeded("deadline", self._due.limit, elapsed) from error


class deadline:
    """Bound every call inside a `with` block to what is left of `limit` seconds.

        with deadline(30) as due:
            documents = retriever.invoke(question)
            answer = await chain.ainvoke(documents)  # has what the retriever left

        @deadline(30)
        async def answer(state: State) -> State: ...  # 30 seconds for each call

    The deadline reaches wherever context variables reach: tasks, chains, `asyncio.to_thread`; not a
    bare `threading.Thread`. Blocks nest. An inner block can shorten the budget but not extend it.

    The block itself is not interrupted: calls of `ChatVllm`, `bounded_client`, `bounded` and
    `bounded_sync` look at the deadline. With `cancel=True` everything else that is awaited in it is
    cancelled too.

    .. note:: Do not hold it across a `yield` of an async generator. The next item may be pulled in
        another task, where the deadline is not set. `bounded` is made for that, and the decorator
        refuses a generator, declared or returned, and an asynchronous iterator that is returned.

    If a decorated function without `async def` returns a coroutine, the seconds run from the call,
    and the deadline holds while the coroutine is awaited. Other work that begins after the call is
    refused: an object with `__await__` that is neither coroutine nor future, and the block of a
    `contextmanager`.

    Args:
        limit: seconds; zero or less, as left-overs can be: calls inside end at once. None: no
            bound.
        cancel: whether the block is cancelled at the deadline, wherever it waits. Only for `async
            with` and for functions declared with `async def`.

    Raises:
        StreamDeadlineExceeded: with `cancel=True`, when the block is left because of that.
        ValueError: `limit` is not a number of seconds.
        TypeError: it decorates a generator, or a function that returns a stream; or `cancel=True`
            is used with a plain `with`, or on a function that is not declared with `async def`.
        RuntimeError: the block is entered twice, or left in another task or thread than it was
            entered in.
    """

    def __init__(self, limit: float | None, *, cancel: bool = False) -> None:
        self._limit = limit
        self._new = Deadline.after(limit)
        self._cancels = cancel
        self._cancelling: Cancellation | None = None
        self._holding: tuple[Deadline, ...] = ()
        self._token: contextvars.Token[tuple[Deadline, ...]] | None = None
        self._state: Literal["new", "entered", "left"] = "new"

    def __enter__(self) -> Deadline:
        """Return the deadline that holds inside: this one, or an outer one that comes sooner."""
        if self._cancels:
            raise TypeError(
                "deadline(…, cancel=True) needs `async with`: only a task can be cancelled."
            )
        return self._enter()

    def _enter(self) -> Deadline:
        if self._state != "new":
            raise RuntimeError(
                f"This `deadline` was {self._state} already; make a new one for each block."
            )
        self._holding = (*_ambient.get(), self._new)
        self._token = _ambient.set(self._holding)
        self._state = "entered"
        return min(self._holding, key=lambda each: each.at)

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

    async def __aenter__(self) -> Deadline:
        """Do the same as `__enter__`."""
        due = self._enter()
        if self._cancels:
            self._cancelling = Cancellation(self._holding)
        return due

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cancelling, self._cancelling = self._cancelling, None
        try:
            self.__exit__(kind, error, trace)
        finally:
            if cancelling is not None:
                cancelling.leave(error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: each call of it has `limit` seconds."""
        name = name_of(function)
        if is_declared(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            raise no_stream(f"{name} is a generator")
        limit, cancel = self._limit, self._cancels
        if is_declared(function, inspect.iscoroutinefunction):
            begin = cast(Callable[P, Awaitable[Any]], function)

            @functools.wraps(function)
            async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with deadline(limit, cancel=cancel):
                    return await bound_answer(await begin(*args, **kwargs), name)

            return cast(Callable[P, R], call_async)
        if cancel:
            raise TypeError(
                f"{name} is not declared with `async def`, so it cannot be "
                "cancelled; leave cancel=True out."
            )

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            block = deadline(limit)
            with block:
                result = function(*args, **kwargs)
            return cast(R, bound_result(result, block._again, name))

        return call

    def _again(self) -> "deadline":
        """Return a block that ends at the same moment as this one."""
        other = deadline(self._limit)
        other._new = self._new
        return other


@contextmanager
def no_deadline() -> Iterator[None]:
    """Begin work that may outlive its request.

        with no_deadline():
            asyncio.create_task(save_a_summary(answer))  # its calls have only their own bounds

    No ambient `deadline` bounds the calls inside, and a client that disconnects does not end them.
    This is for work that a request starts and does not wait for. It reaches wherever context
    variables reach, and a `deadline` inside holds again.
    """
    from stream_deadline import _connection  # it imports this module

    token, tracked = _ambient.set(()), _connection.no_tracker()
    try:
        with no_group():
            yield
    finally:
        _ambient.reset(token)
        _connection.restore_tracker(tracked)


@contextmanager
def holding(due: Deadline) -> Iterator[None]:
    """Let only one deadline hold inside a `with` block, and no call group.

    Args:
        due: may be moved later. Calls that begin after that have the new time.
    """
    with no_deadline():
        token = _ambient.set((due,))
        try:
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
        return _clock.monotonic()
    return clock_of(loop)()


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the clock of an event loop's timers.

    The clock of asyncio and uvloop is the monotonic one, but uvloop reads it only once per turn of
    the loop, and a busy consumer can make a turn long. So the monotonic clock itself is read. A
    loop with a time of its own, such as a test's, keeps it.
    """
    return _clock.monotonic if abs(loop.time() - time.monotonic()) < 1.0 else loop.time
