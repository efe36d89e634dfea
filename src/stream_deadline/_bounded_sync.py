"""Bound any synchronous stream: `bounded_sync`.

The thread that pulls may be blocked inside the source, or busy elsewhere. Either way the watchdog
interrupts the source at the deadline, by shutting the socket down. Merely closing a response from
another thread does not wake a thread that reads from it.
"""

import contextvars
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from stream_deadline import _clock
from stream_deadline._accumulate import Accumulator, NullAccumulator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import CallGroup
from stream_deadline._deadline import Deadline
from stream_deadline._find_connection import interrupter
from stream_deadline._shutdown import Interrupt
from stream_deadline._watchdog import Alarm

T = TypeVar("T")
_END: Any = object()


def bounded_sync(
    items: Iterable[T],
    timeout: float | Deadline | None = None,
    *,
    first_chunk_timeout: float | None = None,
    idle_timeout: float | None = None,
    interrupt: Callable[[], None] | None = None,
) -> "BoundedIterator[T]":
    """Iterate over `items` until a deadline.

        with httpx.stream("POST", url) as response:
            for line in bounded_sync(response.iter_lines(), 30):
                ...

    The clock starts with this call, not with the first item, and keeps running while the consumer
    is busy.

    Args:
        items: any iterable. It is pulled in the thread of its consumer.
        timeout: seconds for the whole stream, or a `Deadline`; None: only an ambient `deadline`
            bounds it.
        first_chunk_timeout: seconds from now to the first item; None: no bound.
        idle_timeout: seconds the consumer may wait for an item after the one before; None: no
            bound.
        interrupt: called from another thread when a bound is reached. It must make a blocked
            `items` return or raise, and must not block itself. None: the connection is found under
            streams of the OpenAI SDK, Anthropic's and httpx; under others a bound is noticed with
            the next item, or when the source ends by itself.

    Raises:
        StreamDeadlineExceeded: while iterating, when a bound is reached.
        ValueError: a bound is not a positive number of seconds, or a part is longer than the whole.
    """
    until = timeout if isinstance(timeout, Deadline) else None
    bounds = Bounds(
        None if isinstance(timeout, Deadline) else timeout, first_chunk_timeout, idle_timeout
    )
    budget = Budget(bounds, _clock.monotonic, until)
    calls = CallGroup()
    ends = (
        interrupter(items, calls, blocking=True)
        if interrupt is None
        else lambda in_use: interrupt()
    )
    return BoundedIterator(items, budget, NullAccumulator(), ends, calls.context())


class BoundedIterator(Iterator[T]):
    """The iterator that `bounded_sync` returns.

    It can be closed at any time, before its first item too: by `close()`, `with`, an exception in a
    pull, or by dropping the last reference. Closing it closes its source.
    """

    def __init__(
        self,
        items: Iterable[T],
        budget: Budget,
        accumulator: Accumulator,
        interrupt: Interrupt,
        context: contextvars.Context | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """Start the clock.

        Args:
            items: the source.
            budget: its bounds.
            accumulator: sees every item.
            interrupt: shuts the source's connection down.
            context: the context variables of the source; None: a copy of the current ones.
            ended: called when the source has ended; None: nothing is.
        """
        self._items = items
        self._budget = budget
        self._alarm = Alarm(budget, interrupt)
        self._pulls = _iterate(
            items, budget, accumulator, self._alarm, context or contextvars.copy_context(), ended
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return next(self._pulls)

    @property
    def note_progress(self) -> Callable[[], None]:
        """A function to call when the source says something that does not become an item.

        It does not keep the stream alive.
        """
        budget, alarm = self._budget, self._alarm

        def note_progress() -> None:
            if budget.watches_chunks:
                budget.note_progress()
                alarm.look()

        return note_progress

    def interrupt(self) -> None:
        """End the stream from another thread; a waiting pull raises, or the next one."""
        self._alarm.revoke()

    def close(self) -> None:
        """End the stream and close its source.

        If a pull is waiting in another thread, that thread closes the source.
        """
        state = inspect.getgeneratorstate(self._pulls)
        if state == inspect.GEN_RUNNING:
            self.interrupt()
            return
        self._alarm.cancel()
        self._pulls.close()
        if state == inspect.GEN_CREATED:  # a generator that has not begun would not close it
            _close(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_pulls"):
            self.close()


def _iterate(
    items: Iterable[T],
    budget: Budget,
    accumulator: Accumulator,
    alarm: Alarm,
    context: contextvars.Context,
    ended: Callable[[], None] | None,
) -> Generator[T]:
    source: Iterator[T] = iter(items)
    clock, watches_chunks, run = budget.clock, budget.watches_chunks, context.run
    handed_over = budget.started
    try:
        while clock() < budget.total_at or budget.was_lifted():
            alarm.waiting = True
            if alarm.fired():
                break
            if watches_chunks:
                budget.exclude(clock() - handed_over)
                alarm.look()
            try:
                item = run(next, source, _END)
            except Exception as error:
                if alarm.fired() or budget.ended_below or clock() >= budget.due:
                    raise budget.error(budget.chunks, accumulator.partial) from error
                if not accumulator.whole and isinstance(error, accumulator.errors_of_halves):
                    raise budget.cut_short(budget.chunks, accumulator.partial) from error
                raise
            alarm.waiting = False
            if (handed_over := clock()) >= budget.total_at and not budget.was_lifted():
                break
            if item is _END:
                if alarm.fired():  # our interrupt ended it
                    break
                if not accumulator.whole:
                    raise budget.cut_short(budget.chunks, accumulator.partial)
                return
            if accumulator.add(item) and watches_chunks:
                budget.note_progress()
            budget.chunks += 1
            yield item
        raise budget.error(budget.chunks, accumulator.partial)
    finally:
        alarm.cancel()
        _close(source)
        if source is not items:
            _close(items)
        if ended is not None:
            ended()


def _close(stream: Any) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
