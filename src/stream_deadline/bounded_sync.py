"""A deadline for any synchronous stream: `bounded_sync`.

The thread that pulls may be blocked inside the source, or busy elsewhere; either way the watchdog interrupts the source when its
time is up, by shutting the socket down. Merely closing a response from another thread does not wake a thread that reads from it.
"""

import contextvars
import inspect
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from stream_deadline.budget import Bounds, Budget, Deadline
from stream_deadline.collect import Anything, Collector
from stream_deadline.connection import Interrupt
from stream_deadline.entrances import interrupter
from stream_deadline.errors import AnswerCutShort, later
from stream_deadline.scope import Scope
from stream_deadline.watchdog import Alarm

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
    """Iterate over `items` until a deadline. The clock starts with this call and keeps running while the consumer is busy.

        with httpx.stream("POST", url) as response:
            for line in bounded_sync(response.iter_lines(), 30, interrupt=lambda: cut(response)):
                ...

    Args:
        items: any iterable. It is pulled in the thread of its consumer.
        timeout: seconds for the whole stream, or a `Deadline`; None: only an ambient `deadline` bounds it.
        first_chunk_timeout: seconds from now to the first item; None: no bound.
        idle_timeout: seconds the consumer may wait for an item after the one before; None: no bound.
        interrupt: called from another thread when a bound is reached; it must make a blocked `items` return or raise, and not
            block itself. None: found for the streams of the OpenAI SDK; for others there is none, and then the deadline is
            noticed with the next item, or when the source gives up by itself.

    Raises:
        StreamDeadlineExceeded: while iterating, when a bound is reached.
        ValueError: a bound is not a positive number of seconds, or a part is longer than the whole.
    """
    until = timeout if isinstance(timeout, Deadline) else None
    bounds = Bounds(None if isinstance(timeout, Deadline) else timeout, first_chunk_timeout, idle_timeout)
    budget = Budget(bounds, time.monotonic, until)
    calls = Scope()
    ends = interrupter(items, calls, blocking=True) if interrupt is None else lambda in_use: interrupt()
    return BoundedIterator(items, budget, Anything(), ends, calls.context())


class BoundedIterator(Iterator[T]):
    """What `bounded_sync` returns: an iterator that can be closed at any time, before its first item as well.

    Closing it, by `close()`, `with`, an exception in a pull, or dropping the last reference, closes its source.
    """

    def __init__(
        self,
        items: Iterable[T],
        budget: Budget,
        collector: Collector,
        interrupt: Interrupt,
        context: contextvars.Context | None = None,
    ) -> None:
        """`interrupt` shuts the source's connection down. `context`: what the source sees of context variables; None: a copy."""
        self._items = items
        self._budget = budget
        self._alarm = Alarm(budget, interrupt)
        self._pulls = _iterate(items, budget, collector, self._alarm, context or contextvars.copy_context())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return next(self._pulls)

    @property
    def said(self) -> Callable[[], None]:
        """To be called when the source says something that does not become an item. Does not keep the stream alive."""
        budget, alarm = self._budget, self._alarm

        def said() -> None:
            if budget.watches_chunks:
                budget.heard()
                alarm.look()

        return said

    def interrupt(self) -> None:
        """End the stream from another thread: a pull that waits raises, and so does the next one."""
        self._alarm.use_up()

    def close(self) -> None:
        """End the stream and close its source; from another thread than that of a pull that waits, have that do it."""
        state = inspect.getgeneratorstate(self._pulls)
        if state == inspect.GEN_RUNNING:
            self.interrupt()
            return
        self._alarm.cancel()
        self._pulls.close()
        if state == inspect.GEN_CREATED:  # a generator that has not begun has nothing that would close the source
            _close(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_pulls"):
            self.close()


def _iterate(
    items: Iterable[T], budget: Budget, collector: Collector, alarm: Alarm, context: contextvars.Context
) -> Generator[T]:
    source: Iterator[T] = iter(items)
    clock, watches_chunks, run = budget.clock, budget.watches_chunks, context.run
    chunks = 0
    handed_over = budget.started
    try:
        while clock() < budget.total_at or budget.lifted():
            alarm.waiting = True
            if alarm.fired():
                break
            if watches_chunks:
                budget.paused(clock() - handed_over)
                alarm.look()
            try:
                item = run(next, source, _END)
            except Exception as error:
                if alarm.fired() or clock() >= budget.due:
                    raise budget.exceeded(chunks, collector.partial) from error
                if not collector.whole and isinstance(error, collector.of_halves):
                    raise AnswerCutShort(clock() - budget.started, chunks, later(collector.partial)) from error
                raise
            alarm.waiting = False
            if (handed_over := clock()) >= budget.total_at and not budget.lifted():
                break
            if item is _END:
                if alarm.fired():  # it is we who ended it
                    break
                if not collector.whole:
                    raise AnswerCutShort(clock() - budget.started, chunks, later(collector.partial))
                return
            if collector.add(item) and watches_chunks:
                budget.heard()
            chunks += 1
            yield item
        raise budget.exceeded(chunks, collector.partial)
    finally:
        alarm.cancel()
        _close(source)
        if source is not items:
            _close(items)


def _close(stream: Any) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
