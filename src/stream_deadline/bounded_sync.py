"""A deadline for any synchronous stream: `bounded_sync`.

The thread that pulls may be blocked inside the source, or busy elsewhere; either way the watchdog interrupts the source when its
time is up, by shutting the socket down. Merely closing a response from another thread does not wake a thread that reads from it.
"""

import contextvars
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from stream_deadline.budget import Bounds, Budget, Deadline
from stream_deadline.collect import Anything, Collector
from stream_deadline.connection import Interrupt, interrupter
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
) -> Iterator[T]:
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
    return iterate(items, budget, Anything(), interrupter(items) if interrupt is None else lambda in_use: interrupt())


def iterate(
    items: Iterable[T],
    budget: Budget,
    collector: Collector,
    interrupt: Interrupt,
    context: contextvars.Context | None = None,
) -> Generator[T]:
    """The items, until `budget` is used up. `context`: what the source sees of context variables; None: a copy of ours."""
    return _iterate(items, budget, collector, Alarm(budget, interrupt), context or contextvars.copy_context())


def _iterate(
    items: Iterable[T], budget: Budget, collector: Collector, alarm: Alarm, context: contextvars.Context
) -> Generator[T]:
    source: Iterator[T] = iter(items)
    clock, total_at, watches_chunks, run = budget.clock, budget.total_at, budget.watches_chunks, context.run
    chunks = 0
    handed_over = budget.started
    try:
        while clock() < total_at:
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
                    raise budget.exceeded(chunks, collector.partial()) from error
                raise
            alarm.waiting = False
            if alarm.fired() or (handed_over := clock()) >= total_at:
                break
            if item is _END:
                return
            if collector.add(item) and watches_chunks:
                budget.heard()
            chunks += 1
            yield item
        raise budget.exceeded(chunks, collector.partial())
    finally:
        alarm.cancel()
        for stream in (source, items):
            close = getattr(stream, "close", None)
            if close is not None:
                close()
