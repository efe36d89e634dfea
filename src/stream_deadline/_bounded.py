"""Bound any asynchronous stream: `bounded`."""

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import TracebackType
from typing import Self, TypeVar

from stream_deadline._accumulate import Accumulator, NullAccumulator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import CallGroup
from stream_deadline._deadline import Deadline, clock_of
from stream_deadline._find_connection import interrupter
from stream_deadline._reader import Reader
from stream_deadline._shutdown import Interrupt

T = TypeVar("T")


def bounded(
    items: AsyncIterable[T],
    timeout: float | Deadline | None = None,
    *,
    first_chunk_timeout: float | None = None,
    idle_timeout: float | None = None,
) -> "BoundedStream[T]":
    """Iterate over `items` until a deadline.

        async for line in bounded(response.aiter_lines(), 30):
            ...

    The clock starts with this call, not with the first item, and keeps running while the consumer
    is busy. When a bound is reached, the pull that waits, or the next one, raises; no item is
    handed over any more; and the source is closed even if it is not pulled: it is cancelled where
    it waits, and `aclose()` is called.

    Args:
        items: any asynchronous iterable. It is pulled in a task of its own, at most 16 items ahead
            of the consumer.
        timeout: seconds for the whole stream, or a `Deadline`; None: only an ambient `deadline`
            bounds it.
        first_chunk_timeout: seconds from now to the first item; None: no bound.
        idle_timeout: seconds between two items; None: no bound.

    Raises:
        StreamDeadlineExceeded: while iterating, when a bound is reached.
        ValueError: a bound is not a positive number of seconds, or a part is longer than the whole.
        RuntimeError: no event loop is running, or two tasks pull at once.
    """
    until = timeout if isinstance(timeout, Deadline) else None
    whole = None if isinstance(timeout, Deadline) else timeout
    bounds = Bounds(whole, first_chunk_timeout, idle_timeout)
    budget = Budget(bounds, clock_of(asyncio.get_running_loop()), until)
    calls = CallGroup()
    interrupt = interrupter(items, calls, blocking=False)
    return BoundedStream(items, budget, NullAccumulator(), interrupt, calls.context())


class BoundedStream(AsyncIterator[T]):
    """The asynchronous iterator that `bounded` returns.

    It can be closed at any time and from any task: by `aclose()`, `async with`, an exception in a
    pull, or by dropping the last reference. Closing it closes its source.
    """

    def __init__(
        self,
        items: AsyncIterable[T],
        budget: Budget,
        accumulator: Accumulator,
        interrupt: Interrupt,
        context: contextvars.Context | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """Start to read.

        Args:
            items: the source.
            budget: its bounds.
            accumulator: sees every item.
            interrupt: shuts the source's connection down.
            context: the context variables of the source; None: a copy of the current ones.
            ended: called when the source has ended; None: nothing is.
        """
        self._reader = Reader(items, budget, accumulator, interrupt, context, ended)
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
                # The timer cannot fire while items come without a wait, so each pull reads the
                # clock.
                if reader.budget.is_used_up():
                    reader.expire()
                if reader.buffer:
                    return reader.take()
                if reader.ended:
                    break
                await reader.wait()
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._pulling = False
        await reader.settle()
        # Raised once; after that the stream is merely over.
        failure, reader.failure = reader.failure, None
        if failure is None:
            raise StopAsyncIteration
        try:
            raise failure
        finally:
            # An error and the frame that raised it would keep each other, and all that the frames
            # of its traceback hold, until the garbage collector finds them.
            del failure

    @property
    def note_progress(self) -> Callable[[], None]:
        """A function to call when the source says something that does not become an item.

        It does not keep the stream alive.
        """
        return self._reader.note_progress

    async def aclose(self) -> None:
        """End the stream and wait for the end of its source, at most 25 ms.

        A clean-up that takes longer goes on in the background.
        """
        self._reader.stop()
        await self._reader.settle()
        self._reader.failure = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.abandon()
