"""The bounded body of a response, which a client reads in place of its own.

The bytes are read where the client reads them, in any task or thread, so that a chunk costs next to
nothing. At the deadline the watchdog shuts the connection down. That wakes a reader, and frees the
server if the client does not read.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any

from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded import BoundedStream
from stream_deadline._budget import Budget
from stream_deadline._connection import ConnectionTracker
from stream_deadline._errors import StreamDeadlineExceeded
from stream_deadline._http2 import is_http2, reset_frame
from stream_deadline._sdk import as_sdk_error
from stream_deadline._watchdog import Alarm


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
        self._response = response
        self._stream = response.stream
        self._source: Any = None
        self._budget = budget
        self._tracker = tracker
        self._watches = budget.watches_chunks
        self._chunks = 0
        self._over = False
        self._handed_over = budget.clock()
        self._alarm = Alarm(budget, self._interrupt)

    def _interrupt(self, in_use: bool) -> None:
        self._tracker.cut(in_use)

    def _before(self) -> None:
        """Check that there is time left, just before a wait for the server."""
        self._alarm.waiting = True
        if self._alarm.fired():
            raise self._expired()
        if self._watches:
            self._budget.exclude(self._budget.clock() - self._handed_over)
            self._alarm.look()

    def _after(self, data: bytes) -> None:
        """Check that data came in time."""
        budget = self._budget
        self._alarm.waiting = False
        self._handed_over = now = budget.clock()
        if now >= budget.total_at and not budget.was_lifted():
            raise self._expired()
        self._chunks += 1
        if self._watches and says_something(data):
            budget.note_progress()

    def _ran_out(self) -> bool:
        """Return whether an end or an error is due to a bound."""
        return self._alarm.fired() or self._budget.clock() >= self._budget.due

    def _expired(self) -> StreamDeadlineExceeded:
        """Give the body up, and return the error to raise."""
        self._end()
        self._tracker.cut()
        return as_sdk_error(self._budget.error(self._chunks, _nothing))

    def _end(self) -> None:
        self._over = True
        self._alarm.cancel()


def _nothing() -> None:
    """Return no partial answer: bytes of a body are none."""


class _SyncBody(_Body):
    def __iter__(self) -> Iterator[bytes]:
        self._source = iter(self._stream)
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        try:
            self._before()
            try:
                data: bytes = next(self._source)
            except StopIteration:
                if self._alarm.fired():  # our own interrupt ended it
                    raise self._expired() from None
                self._end()
                raise
            except Exception as error:
                if self._ran_out():
                    raise self._expired() from error
                self._end()
                raise
            self._after(data)
        except StreamDeadlineExceeded:
            self.close()
            raise
        return data

    def close(self) -> None:
        """Close the body, read to its end or not."""
        if not self._over and is_http2(self._response):
            with contextlib.suppress(Exception):  # the connection may have ended
                self._response.extensions["network_stream"].write(reset_frame(self._response))
        self._end()
        self._stream.close()


class _AsyncBody(_Body):
    def _interrupt(self, in_use: bool) -> None:
        self._tracker.cut()  # only the event loop's own thread may close its streams

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._source = aiter(self._stream)
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        try:
            self._before()
            try:
                data: bytes = await anext(self._source)
            except StopAsyncIteration:
                if self._alarm.fired():
                    raise self._expired() from None
                self._end()
                raise
            except Exception as error:
                if self._ran_out():
                    raise self._expired() from error
                self._end()
                raise
            self._after(data)
        except StreamDeadlineExceeded:
            await self.aclose()
            raise
        return data

    async def aclose(self) -> None:
        """Close the body, read to its end or not."""
        self._end()
        await self._stream.aclose()


class _ReadAheadBody:
    """An asynchronous body whose connection cannot be shut down, so that a task reads it.

    That is so over HTTP/2, where other requests use the connection, and for transports without a
    socket.
    """

    def __init__(self, response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
        """Take over a response's body; see `_Body`."""
        self._items: BoundedStream[bytes] = BoundedStream(
            _read(response, response.stream), budget, BodyAccumulator(), tracker.cut
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


async def _read(response: Any, stream: Any) -> AsyncIterator[bytes]:
    whole = False
    try:
        async for data in stream:
            yield data
        whole = True
    finally:
        if not whole and is_http2(response):
            with contextlib.suppress(Exception):  # the connection may have ended
                await response.extensions["network_stream"].write(reset_frame(response))
        await stream.aclose()


def bound_body(response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
    """Replace the body of a synchronous client's response by a bounded one."""
    theirs: Any = type(response.stream)
    make = _body_class(_SyncBody, theirs, "SyncByteStream")
    response.stream = make(response, budget, tracker)


def bound_async_body(response: Any, budget: Budget, tracker: ConnectionTracker) -> None:
    """Replace the body of an asynchronous client's response by a bounded one."""
    theirs: Any = type(response.stream)
    can_be_cut = tracker.can_cut and budget.clock is time.monotonic
    ours: Any = _AsyncBody if can_be_cut else _ReadAheadBody
    response.stream = _body_class(ours, theirs, "AsyncByteStream")(response, budget, tracker)


@lru_cache(maxsize=32)
def _body_class(ours: Any, theirs: Any, base: str) -> Any:
    """Return our class with the base class that the client's library looks for."""
    [family] = [each for each in theirs.__mro__ if each.__name__ == base][-1:] or [object]
    return type(ours.__name__, (ours, family), {})
