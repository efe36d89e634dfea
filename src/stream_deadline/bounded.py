"""A deadline for any stream: `bounded`.

A stream is pulled here by a task of its own, the reader, and its consumer only waits for what the reader has. That is what makes
the deadline hold:

* who pulls does not matter, since the deadline stops the reader, whichever task waits for it;
* nobody needs to pull, since a timer stops the reader, and the connection goes with it;
* nothing else can cancel the reader, so that its clean-up runs once and to its end, however often the consumer is cancelled;
* a stream that swallows its cancellation, or takes its time over it, holds up neither the consumer nor the error; nor the server,
  where the connection is known: it is shut down before anything else;
* not even the event loop needs to run: where it stands still, the watchdog's thread shuts the connection down.
"""

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from inspect import isawaitable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

from stream_deadline import scope
from stream_deadline.budget import NEVER, Bounds, Budget, Deadline, clock_of
from stream_deadline.collect import Anything, Collector
from stream_deadline.connection import Interrupt
from stream_deadline.entrances import interrupter
from stream_deadline.errors import AnswerCutShort, later
from stream_deadline.watchdog import Alarm

T = TypeVar("T")
_log = logging.getLogger("stream_deadline")

# How many items the reader may be ahead of its consumer. One by one, each item would cost two switches between tasks.
AHEAD = 16
# Seconds that the end of a call waits for the reader's clean-up.
GRACE = 0.025
# Seconds before a reader that has not ended is cancelled once more, and how often: one cancellation can get lost
# (cpython#86296), but a second one can cut a clean-up short, so that a pool loses a connection (encode/httpx#3782).
INSIST_EVERY, INSIST_TIMES = 0.25, 40
# Seconds that a source may take to clean up after its end, before it is cancelled.
CLEAN_UP = 5.0
# Seconds after the deadline in which the event loop may see to it itself, before the watchdog does.
LOOP_STANDS_STILL = 0.02


def bounded(
    items: AsyncIterable[T],
    timeout: float | Deadline | None = None,
    *,
    first_chunk_timeout: float | None = None,
    idle_timeout: float | None = None,
) -> "BoundedStream[T]":
    """Iterate over `items` until a deadline.

    The clock starts with this call, not with the first item, and keeps running while the consumer is busy. When a bound is
    reached, the pull that waits (or the next one) raises, no item is handed over any more, and the source is closed even if
    nobody pulls: cancelled where it waits, then `aclose()`d.

        async for line in bounded(response.aiter_lines(), 30):
            ...

    Args:
        items: any asynchronous iterable. It is pulled in one task of its own, at most 16 items ahead of the consumer.
        timeout: seconds for the whole stream, or a `Deadline`; None: only an ambient `deadline` bounds it.
        first_chunk_timeout: seconds from now to the first item; None: no bound.
        idle_timeout: seconds between two items; None: no bound.

    Raises:
        StreamDeadlineExceeded: while iterating, when a bound is reached.
        ValueError: a bound is not a positive number of seconds, or a part is longer than the whole.
        RuntimeError: no event loop is running, or two tasks pull at once.
    """
    until = timeout if isinstance(timeout, Deadline) else None
    bounds = Bounds(None if isinstance(timeout, Deadline) else timeout, first_chunk_timeout, idle_timeout)
    budget = Budget(bounds, clock_of(asyncio.get_running_loop()), until)
    calls = scope.Scope()
    return BoundedStream(items, budget, Anything(), interrupter(items, calls, blocking=False), calls.context())


class BoundedStream(AsyncIterator[T]):
    """What `bounded` returns: an asynchronous iterator that can be closed at any time, from any task.

    Closing it, by `aclose()`, `async with`, an exception in a pull, or dropping the last reference, closes its source.
    """

    def __init__(
        self,
        items: AsyncIterable[T],
        budget: Budget,
        collector: Collector,
        interrupt: Interrupt,
        context: contextvars.Context | None = None,
    ) -> None:
        """`interrupt` shuts the source's connection down. `context`: what the source sees of context variables; None: a copy."""
        self._reader = _Reader(items, budget, collector, interrupt, context)
        self._pulling = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._pulling:
            raise RuntimeError("This stream is being pulled by another task already.")
        reader = self._reader
        self._pulling = True
        try:
            while True:
                # The timer cannot fire while items come without a wait in between, so the clock is asked for each of them.
                if reader.budget.over():
                    reader.expire()
                if reader.buffer:
                    return reader.take()
                if reader.ended:
                    break
                await reader.something()
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._pulling = False
        await reader.settled()
        if (failure := reader.failure) is not None:
            reader.failure = None  # raised once; after that the stream is merely over
            raise failure
        raise StopAsyncIteration

    @property
    def said(self) -> Callable[[], None]:
        """To be called when the source says something that does not become an item. Does not keep the stream alive."""
        return self._reader.said

    async def aclose(self) -> None:
        """End the stream and wait until its source is closed, at most 25 ms; what takes longer goes on in the background."""
        self._reader.stop()
        await self._reader.settled()
        self._reader.failure = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.abandon()


class _Reader(Generic[T]):
    """The one task that pulls the source, and what it has read ahead. Knows nothing of the consumer but whether it waits."""

    def __init__(
        self,
        items: AsyncIterable[T],
        budget: Budget,
        collector: Collector,
        interrupt: Interrupt,
        context: contextvars.Context | None,
    ) -> None:
        self.budget = budget
        self.buffer: deque[T] = deque()
        self.ended = False
        self.failure: BaseException | None = None
        self._collector = collector
        self._interrupt = interrupt
        self._taken = 0
        self._begun = False
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()
        self._scope = scope.current()
        self._alarm: Alarm | None = None
        if budget.total_at < NEVER and budget.clock is time.monotonic:
            self._alarm = Alarm(budget, lambda _: interrupt(True), after=LOOP_STANDS_STILL, alone=True)
        self._task = self._loop.create_task(self._read(items), name="bounded stream", context=context)
        self._task.add_done_callback(self._finished)
        if self._scope is not None:
            self._scope.add(self.use_up)

    def take(self) -> T:
        """The next item of the buffer."""
        item = self.buffer.popleft()
        self._taken += 1
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return item

    async def something(self) -> None:
        """Wait for an item, the end, or a bound."""
        self._news = self._loop.create_future()
        try:
            await self._news
        finally:
            self._news = None

    def expire(self) -> None:
        """A bound is reached: from here on there is only the error, after what had arrived before a part ran out."""
        budget = self.budget
        if budget.lifted():
            self._arm()
            return
        if budget.over():
            self._give_up(keep=False)
        elif not self.ended:
            self._give_up(keep=True)

    def use_up(self) -> None:
        """The caller has left. May be called from any thread."""
        self.budget.use_up()
        if not self._task.done():
            self._cut()
        self._here(lambda: self._give_up(keep=False))

    def said(self) -> None:
        """The model said something that does not become an item."""
        if self.budget.watches_chunks:
            self.budget.heard()
            self._arm()

    def _give_up(self, *, keep: bool) -> None:
        if not self.ended or self.buffer:
            come = self._taken + (len(self.buffer) if keep else 0)
            self.failure = self.budget.exceeded(come, self._collector.partial)
        self.stop(keep=keep)

    def stop(self, *, keep: bool = False) -> None:
        """The source gets closed, and nothing more is handed over; `keep`: but what is there."""
        if not keep:
            self.buffer.clear()
        self.ended = True
        if not self._task.done():
            self._cut()
            self._tell()
            self._insist(INSIST_TIMES)
            return
        self._tell()
        self._quiet()

    def _cut(self) -> None:
        try:
            self._interrupt(True)
        except Exception:  # the stream is ended all the same, by a cancellation
            _log.exception("The interrupt of a stream failed, so that its connection is closed a little later.")

    def abandon(self) -> None:
        """As `stop`, from whichever thread the garbage collector happens to run in."""
        self._here(self.stop)

    def _here(self, call: Callable[[], None]) -> None:
        """Call in the loop's own thread, unless all is over."""
        if self._task.done() or self._loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            call()
        else:
            self._loop.call_soon_threadsafe(call)

    async def settled(self) -> None:
        """Wait for the source's clean-up, for a moment. A cancellation meanwhile is raised afterwards, not lost."""
        until = self._loop.time() + GRACE
        cancelled: asyncio.CancelledError | None = None
        while not self._task.done() and (left := until - self._loop.time()) > 0:
            try:
                # anyio, and with it Starlette, would cancel again at every turn of the loop.
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({self._task}, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _read(self, items: AsyncIterable[T]) -> None:
        budget, buffer, collector = self.budget, self.buffer, self._collector
        watches_chunks = budget.watches_chunks
        self._begun = True
        source = aiter(items)
        try:
            while not self.ended:  # it is, where the stream was closed before it began, or swallowed its cancellation
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    self._complete()
                    return
                if collector.add(item) and watches_chunks:
                    budget.heard()
                    self._arm()
                buffer.append(item)
                self._tell()
                if len(buffer) >= AHEAD:
                    full_at = budget.clock()
                    self._room = self._loop.create_future()
                    await self._room
                    self._room = None
                    budget.paused(budget.clock() - full_at)
                    self._arm()
        finally:
            await _close(source)
            if items is not source:
                await _close(items)

    def _complete(self) -> None:
        """The source is at its end. What it still has to clean up is no part of the answer, and is not waited for without end."""
        if self.ended:
            return
        self.ended = True
        if not self._collector.whole:
            self.failure = self._cut_short()
        self._tell()
        self._quiet()
        self._timer = self._loop.call_later(CLEAN_UP, self._insist, INSIST_TIMES)

    def _cut_short(self) -> AnswerCutShort:
        budget = self.budget
        return AnswerCutShort(budget.clock() - budget.started, self._taken + len(self.buffer), later(self._collector.partial))

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._quiet()
        if self._scope is not None:
            self._scope.discard(self.use_up)
        if not self.ended:
            # Only somebody else can have cancelled it: the end of the event loop, or the source itself.
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None and not task.cancelled() and self.budget.clock() >= self.budget.due:
                self._give_up(keep=not self.budget.over())
                assert self.failure is not None
                self.failure.__cause__ = error
            else:
                self.ended = True
                self.failure = error
                if not self._collector.whole and isinstance(error, self._collector.of_halves):
                    self.failure = self._cut_short()
                    self.failure.__cause__ = error
        elif not task.cancelled():
            task.exception()  # it has been told why it ends, and what it says about that is of no interest
        self._tell()

    def _quiet(self) -> None:
        """There is nothing left to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    @property
    def _due(self) -> float:
        """When the next bound is reached. While the reader waits for its consumer, the server's silence has none."""
        return self.budget.due if self._room is None else self.budget.total_at

    def _arm(self) -> None:
        due = self._due
        if self._timer is not None:
            if self._timer.when() <= due:
                return  # it looks again when it fires
            self._timer.cancel()
        self._timer = None if due == NEVER else self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        late = self.budget.clock() - self._due
        if late < 0 or (self._room is None and self.budget.forgive(late)):
            self._arm()
        else:
            self.expire()

    def _insist(self, tries: int) -> None:
        """Cancel the reader, and again for as long as it has not ended."""
        self._quiet()
        if not self._task.done() and tries:
            if self._begun:  # one that is cancelled before its first step would never close its source
                self._task.cancel()
            self._timer = self._loop.call_later(INSIST_EVERY, self._insist, tries - 1)


async def _close(stream: Any) -> None:
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if close is not None and isawaitable(closing := close()):
        await closing
