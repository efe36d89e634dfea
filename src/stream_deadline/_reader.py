"""Read a stream in a task of its own, so that the deadline holds.

The consumer only waits for what the reader has:

* Who pulls does not matter, since the deadline stops the reader, whichever task waits for it.
* A stream need not be pulled, since a timer stops the reader, and the connection goes with it.
* Nothing else can cancel the reader, so its clean-up runs once and to its end, however often the
  consumer is cancelled.
* A stream that swallows its cancellation, or takes time over it, delays neither the consumer nor
  the error; nor the server, if the connection is known: it is shut down first.
* The event loop need not even run: if it stands still, the watchdog's thread shuts the connection
  down.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import AsyncIterable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeVar

import anyio

from stream_deadline import _clock
from stream_deadline._accumulate import Accumulator
from stream_deadline._budget import Budget
from stream_deadline._call_group import current_group
from stream_deadline._deadline import NEVER
from stream_deadline._errors import AnswerCutShort
from stream_deadline._shutdown import Interrupt
from stream_deadline._watchdog import Alarm

T = TypeVar("T")
_log = logging.getLogger("stream_deadline")

# How many items the reader may be ahead. One by one, each item would cost two task switches.
AHEAD = 16
# Seconds that the end of a call waits for the reader's clean-up.
GRACE = 0.025
# Seconds before a reader that has not ended is cancelled once more, and how often. One cancellation
# can get lost (cpython#86296), but a second one can cut a clean-up short, so that a pool loses a
# connection (encode/httpx#3782).
INSIST_EVERY, INSIST_TIMES = 0.25, 40
# Seconds that a source may take to clean up after its end, before it is cancelled.
CLEAN_UP = 5.0
# Seconds after the deadline that the event loop has for itself, before the watchdog acts.
LOOP_STANDS_STILL = 0.02


class Reader(Generic[T]):
    """The task that pulls the source, and the items that it has read ahead.

    It knows nothing of the consumer but whether the consumer waits.

    Attributes:
        budget: of the call.
        buffer: what has been read and not handed over.
        ended: whether nothing more is read.
        failure: the error to raise at the end; None: there is none.
    """

    def __init__(
        self,
        items: AsyncIterable[T],
        budget: Budget,
        accumulator: Accumulator,
        interrupt: Interrupt,
        context: contextvars.Context | None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.budget = budget
        self.buffer: deque[T] = deque()
        self.ended = False
        self.failure: BaseException | None = None
        self._accumulator = accumulator
        self._interrupt = interrupt
        self._ended = ended
        self._handed_over = 0
        self._begun = False
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()
        self._group = current_group()
        self._alarm: Alarm | None = None
        if budget.total_at < NEVER and budget.clock is _clock.monotonic:
            self._alarm = Alarm(
                budget, lambda _: interrupt(True), after=LOOP_STANDS_STILL, alone=True
            )
        _clock.notify_of_jumps(self._jumped)
        # None: it has ended, since its error's traceback holds a frame that holds this reader; or
        # it takes its first steps already, as with `asyncio.eager_task_factory`.
        self._task: asyncio.Task[None] | None = None
        self._task = self._loop.create_task(
            self._read(items), name="bounded stream", context=context
        )
        self._task.add_done_callback(self._finished)
        if self._group is not None:
            self._group.add(self.revoke)

    def take(self) -> T:
        """Return the next item of the buffer."""
        item = self.buffer.popleft()
        self._handed_over += 1
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return item

    async def wait(self) -> None:
        """Wait for an item, the end, or a bound."""
        self._news = self._loop.create_future()
        await self._news

    def expire(self) -> None:
        """End the stream with an error, since a bound is reached.

        What had arrived before a part ran out is handed over first.
        """
        budget = self.budget
        if budget.was_lifted():
            if self._running is not None:
                self._arm()
            return
        if budget.is_used_up():
            self._give_up(keep=False)
        elif not self.ended:
            self._give_up(keep=True)

    def revoke(self) -> None:
        """End the stream, since its client has disconnected. Safe from any thread."""
        self.budget.revoke()
        if self._running is not None:
            self._cut()
        self._call_in_loop(lambda: self._give_up(keep=False))

    def note_progress(self) -> None:
        """Note that the model said something that does not become an item."""
        if self.budget.watches_chunks:
            self.budget.note_progress()
            self._arm()

    def _give_up(self, *, keep: bool) -> None:
        if not self.ended or self.buffer:
            come = self._handed_over + (len(self.buffer) if keep else 0)
            self.failure = self.budget.error(come, self._accumulator.partial)
        self.stop(keep=keep)

    def stop(self, *, keep: bool = False) -> None:
        """Close the source and hand nothing more over.

        Args:
            keep: whether the items that are there are still handed over.
        """
        if not keep:
            self.buffer.clear()
        self.ended = True
        if self._running is not None:
            self._cut()
            self._wake()
            self._insist(INSIST_TIMES)
            return
        self._wake()
        self._cancel_timers()

    def _cut(self) -> None:
        try:
            self._interrupt(True)
        except Exception:  # the cancellation ends the stream all the same
            _log.exception("The interrupt of a stream failed, so its connection is closed later.")

    def abandon(self) -> None:
        """Stop, from whichever thread the garbage collector runs in."""
        self.failure = None  # its traceback holds a frame that holds this reader
        self._call_in_loop(self.stop)

    def _call_in_loop(self, call: Callable[[], None]) -> None:
        """Call in the loop's own thread, unless the reader has ended."""
        if self._running is None or self._loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            call()
        else:
            self._loop.call_soon_threadsafe(call)

    async def settle(self) -> None:
        """Wait for the source's clean-up, at most `GRACE` seconds.

        A cancellation meanwhile is raised afterwards, not lost.
        """
        until = self._loop.time() + GRACE
        cancelled: asyncio.CancelledError | None = None
        while (task := self._running) is not None and (left := until - self._loop.time()) > 0:
            try:
                # anyio, and with it Starlette, would cancel again at every turn of the loop.
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _read(self, items: AsyncIterable[T]) -> None:
        budget, buffer, accumulator = self.budget, self.buffer, self._accumulator
        watches_chunks = budget.watches_chunks
        self._begun = True
        source = aiter(items)
        try:
            # It is true already if the stream was closed early, or swallowed its cancellation.
            while not self.ended:
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    self._complete()
                    return
                if self._task is not None and self._task.cancelling() and not self.ended:
                    # The loop is ending, and the source swallowed that, as `asyncio.wait_for` can
                    # on Python 3.11. The loop cancels only once, and would wait for the deadline.
                    raise asyncio.CancelledError
                if accumulator.add(item) and watches_chunks:
                    budget.note_progress()
                    self._arm()
                buffer.append(item)
                self._wake()
                if len(buffer) >= AHEAD:
                    full_at = budget.clock()
                    self._room = self._loop.create_future()
                    await self._room
                    self._room = None
                    budget.exclude(budget.clock() - full_at)
                    self._arm()
        finally:
            await _close(source)
            if items is not source:
                await _close(items)

    def _complete(self) -> None:
        """Note that the source is at its end.

        Its clean-up is not part of the answer, so the wait for it is bounded.
        """
        if self.ended:
            return
        self.ended = True
        if not self._accumulator.whole:
            self.failure = self._cut_short()
        self._wake()
        self._cancel_timers()
        self._timer = self._loop.call_later(CLEAN_UP, self._insist, INSIST_TIMES)

    def _cut_short(self) -> AnswerCutShort:
        return self.budget.cut_short(
            self._handed_over + len(self.buffer), self._accumulator.partial
        )

    @property
    def _running(self) -> "asyncio.Task[None] | None":
        """The task, while it reads; another thread may ask while it ends."""
        task = self._task
        return None if task is None or task.done() else task

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        self._cancel_timers()
        if self._ended is not None:
            self._ended()
        if self._group is not None:
            self._group.discard(self.revoke)
        if not self.ended:
            # A cancellation here comes from the end of the event loop, or from the source itself.
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            budget = self.budget
            at_its_end = budget.ended_below or budget.clock() >= budget.due
            if error is not None and not task.cancelled() and at_its_end:
                self._give_up(keep=not budget.is_used_up())
                assert self.failure is not None
                self.failure.__cause__ = error
            else:
                self.ended = True
                self.failure = error
                if not self._accumulator.whole and isinstance(
                    error, self._accumulator.errors_of_halves
                ):
                    self.failure = self._cut_short()
                    self.failure.__cause__ = error
        elif not task.cancelled():
            # Retrieved, so that asyncio does not report it; the reader was stopped.
            task.exception()
        self._wake()

    def _cancel_timers(self) -> None:
        """Cancel the timers, since there is nothing left to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    @property
    def _due(self) -> float:
        """When the next bound is reached.

        While the reader waits for its consumer, the server's silence does not count.
        """
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

    def _jumped(self) -> None:
        self._call_in_loop(self._look)

    def _insist(self, tries: int) -> None:
        """Cancel the reader, and again for as long as it has not ended."""
        self._cancel_timers()
        if (task := self._running) is not None and tries:
            if (
                self._begun
            ):  # one that is cancelled before its first step would never close its source
                task.cancel()
            self._timer = self._loop.call_later(INSIST_EVERY, self._insist, tries - 1)


async def _close(stream: Any) -> None:
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if close is not None and isawaitable(closing := close()):
        await closing
