"""The bounded body of a response, which a client reads in place of its own.

The bytes are read where the client reads them, in any task or thread, so that a chunk costs next to
nothing. At the deadline the watchdog shuts the connection down. That wakes a reader, and frees the
server if the client does not read.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any
from weakref import WeakMethod

from stream_deadline import _clock
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded import BoundedStream
from stream_deadline._budget import Budget
from stream_deadline._connection import ConnectionTracker
from stream_deadline._errors import StreamDeadlineExceeded
from stream_deadline._parts import parts_of
from stream_deadline._sdk import as_sdk_error
from stream_deadline._shutdown import Interrupt
from stream_deadline._watchdog import Alarm

# The most bytes of a packed body that are handed over at once. gzip unpacks a byte to a thousand at
# most, and the clock is looked at only between two parts.
PACKED_PART = 64


def says_something(data: bytes) -> bool:
    """Return whether bytes of a body are more than comments of an event stream.

    Servers and proxies send comments to keep a connection alive (HTML, 9.2.6).
    """
    return data[:1] != b":" or any(line and line[:1] != b":" for line in data.splitlines())


class BodyAccumulator(NullAccumulator):
    """For the bytes of a body."""

    def add(self, item: Any) -> bool:
        return says_something(item)


class _Body:
    """What the synchronous and the asynchronous body share."""

    def __init__(self, response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
        """Take over a response's body.

        Args:
            response: its headers have come.
            budget: of the request.
            tracker: of the request; it ends the connection.
        """
        self._stream = response.stream
        self._source: Any = None
        self._budget = budget
        self._tracker = tracker
        self._watches = budget.watches_chunks
        self._is_over = False
        self._most = _most_at_once(response)
        self._parts: Iterator[bytes] = iter(())
        self._handed_over = budget.clock()
        # A body that is dropped ends then, so the watchdog must not keep it.
        self._alarm = Alarm(budget, _weakly(WeakMethod(self._interrupt)))

    def __del__(self) -> None:
        # The garbage collector may run while a lock of the pool is held, so only the connection is
        # ended here.
        if hasattr(self, "_alarm") and not self._is_over:
            self._give_up()
            self._tracker.end_dropped()

    def _interrupt(self, in_use: bool) -> None:
        self._tracker.cut(in_use)

    def _before(self) -> StreamDeadlineExceeded | None:
        """Return the error to raise before a wait. None: there is time left."""
        self._alarm.waiting = True
        if self._alarm.fired():
            return self._expired()
        if self._watches:
            self._budget.exclude(self._budget.clock() - self._handed_over)
            self._alarm.look()
        return None

    def _after(self, data: bytes) -> StreamDeadlineExceeded | None:
        """Return the error to raise for late data. None: it came in time."""
        budget = self._budget
        self._alarm.waiting = False
        self._handed_over = now = budget.clock()
        if now >= budget.total_at and not budget.was_lifted():
            return self._expired()
        budget.chunks += 1
        if self._watches and says_something(data):
            budget.note_progress()
        return None

    def _first_part(self, data: bytes) -> bytes:
        """Return what is handed over now, and keep the rest."""
        if len(data) <= self._most:
            return data
        self._parts = iter(parts_of(data, self._most))
        return next(self._parts)

    def _end_of(self, end: Exception) -> Exception:
        """Return what to raise for an end or an error of the source."""
        is_whole = isinstance(end, (StopIteration, StopAsyncIteration))
        ran_out = not is_whole and self._budget.clock() >= self._budget.due
        # At the deadline our own interrupt may look like an end.
        if ran_out or self._alarm.fired():
            error = self._expired()
            error.__cause__ = None if is_whole else end
            return error
        self._give_up()
        return end

    def _expired(self) -> StreamDeadlineExceeded:
        self._give_up()
        self._tracker.cut()
        return as_sdk_error(self._budget.error(self._budget.chunks, _nothing))

    def _give_up(self) -> None:
        self._is_over = True
        self._alarm.cancel()


def _weakly(method: "WeakMethod[Interrupt]") -> Interrupt:
    """Return a function that calls a method for as long as its object is there."""

    def interrupt(in_use: bool) -> None:
        if (call := method()) is not None:
            call(in_use)

    return interrupt


def _nothing() -> None:
    """Return no partial answer: bytes of a body are none."""


class _SyncBody(_Body):
    def __iter__(self) -> Iterator[bytes]:
        self._source = iter(self._stream)
        return self

    def __next__(self) -> bytes:
        if self._is_over:
            raise StopIteration
        error: Exception | None = self._before()
        if error is None:
            try:
                data: bytes = next(self._parts, b"") or next(self._source)
            except Exception as end:
                error = self._end_of(end)
                if error is end:
                    raise
            else:
                error = self._after(data)
                if error is None:
                    return self._first_part(data)
        self.close()
        try:
            raise error
        finally:
            del error  # it would keep this frame, and the frame keeps it

    def close(self) -> None:
        """Close the body, read to its end or not."""
        self._give_up()
        self._stream.close()


class _AsyncBody(_Body):
    def __init__(self, response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
        self._loop = asyncio.get_running_loop()
        super().__init__(response, budget, tracker)

    def _interrupt(self, in_use: bool) -> None:
        self._tracker.cut()  # only the event loop's own thread may close its streams
        if not in_use and not self._loop.is_closed():
            # A server whose data nothing has read notices only that the connection is closed.
            self._loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        if not self._alarm.waiting:
            _closing.add(task := self._loop.create_task(self._stream.aclose()))
            task.add_done_callback(_closing.discard)

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._source = aiter(self._stream)
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        error: Exception | None = self._before()
        if error is None:
            try:
                if data := next(self._parts, b""):
                    await asyncio.sleep(0)  # the event loop runs between two parts
                else:
                    data = await anext(self._source)
            except Exception as end:
                error = self._end_of(end)
                if error is end:
                    raise
            else:
                error = self._after(data)
                if error is None:
                    return self._first_part(data)
        await self.aclose()
        try:
            raise error
        finally:
            del error  # it would keep this frame, and the frame keeps it

    async def aclose(self) -> None:
        """Close the body, read to its end or not."""
        self._give_up()
        await self._stream.aclose()


class _ReadAheadBody:
    """An asynchronous body whose connection cannot be shut down, so that a task reads it.

    That is so over HTTP/2, where other requests use the connection, and for transports without a
    socket.
    """

    def __init__(self, response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
        """Take over a response's body; see `_Body`."""
        self._items: BoundedStream[bytes] = BoundedStream(
            _read(response.stream, _most_at_once(response), tracker),
            budget,
            BodyAccumulator(),
            tracker.cut,
        )

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._items)
        except StreamDeadlineExceeded as error:
            raise as_sdk_error(error) from error.__cause__

    async def aclose(self) -> None:
        """Close the body, read to its end or not."""
        await self._items.aclose()


def _most_at_once(response: Any) -> int:
    """Return how many bytes of a body are handed over at once."""
    packed = response.headers.get("content-encoding", "identity").strip().lower() != "identity"
    return PACKED_PART if packed else sys.maxsize


async def _read(stream: Any, most: int, tracker: ConnectionTracker) -> AsyncIterator[bytes]:
    is_whole = False
    try:
        async for data in stream:
            for part in parts_of(data, most):
                yield part
        is_whole = True
    finally:
        if not is_whole:
            await tracker.reset_stream()
        await stream.aclose()


def _is_there(response: Any) -> bool:
    """Return whether a response has been read already, as those of mocks and caches have."""
    return bool(response.is_closed) or hasattr(response, "_content")


def bound_body(response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
    """Replace the body of a synchronous client's response by a bounded one."""
    if _is_there(response):
        return
    theirs: Any = type(response.stream)
    make = _body_class(_SyncBody, theirs, "SyncByteStream")
    response.stream = make(response, budget, tracker)


def bound_async_body(response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
    """Replace the body of an asynchronous client's response by a bounded one."""
    if _is_there(response):
        return
    theirs: Any = type(response.stream)
    can_be_cut = tracker.can_cut and budget.clock is _clock.monotonic
    ours: Any = _AsyncBody if can_be_cut else _ReadAheadBody
    response.stream = _body_class(ours, theirs, "AsyncByteStream")(response, budget, tracker)


# The event loop keeps no reference to its tasks.
_closing: "set[asyncio.Task[None]]" = set()


@lru_cache(maxsize=32)
def _body_class(ours: Any, theirs: Any, base: str) -> Any:
    """Return our class with the base class that the client's library looks for."""
    [family] = [each for each in theirs.__mro__ if each.__name__ == base][-1:] or [object]
    return type(ours.__name__, (ours, family), {})
