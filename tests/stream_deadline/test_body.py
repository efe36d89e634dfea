"""The bounded body in place of a response's own."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import httpx2
import openai
import pytest

from stream_deadline import StreamDeadlineExceeded, _body, _clock
from stream_deadline._body import (
    BodyAccumulator,
    _AsyncBody,
    _ReadAheadBody,
    _SyncBody,
    bound_async_body,
    bound_body,
    says_something,
)
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import CallGroup
from stream_deadline._connection import ConnectionTracker
from stream_deadline.testing import virtual_clock
from tests.stream_deadline.still_clock import Clock, Far


class Stream(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """A body that counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"

    async def aclose(self) -> None:
        self.closed += 1


def call(timeout: float = 5.0) -> tuple[Clock, Budget, ConnectionTracker]:
    clock = Clock()
    budget = Budget(Bounds(timeout), clock)
    return clock, budget, ConnectionTracker(budget, blocking=False)


async def test_the_deadline_closes_the_source() -> None:
    clock, budget, tracker = call()
    body = aiter(
        _AsyncBody(SimpleNamespace(stream=(stream := Stream()), headers={}), budget, tracker)
    )
    clock.time += 5.0
    with pytest.raises(StreamDeadlineExceeded):
        await anext(body)
    assert stream.closed == 1


@pytest.mark.parametrize("late", [0.0, 6.0])
async def test_a_body_that_its_caller_has_closed_has_ended_at_the_deadline_too(late: float) -> None:
    clock, budget, tracker = call()
    body = _AsyncBody(SimpleNamespace(stream=(stream := Stream()), headers={}), budget, tracker)
    aiter(body)
    await body.aclose()
    clock.time += late
    assert [data async for data in body] == []
    assert (stream.closed, body._alarm.fired()) == (1, False)


def response(**has: Any) -> Any:
    return SimpleNamespace(**{"is_closed": False, "stream": Stream(), "headers": {}, **has})


@pytest.mark.parametrize("bound", [bound_body, bound_async_body])
@pytest.mark.parametrize(
    ("has", "is_bounded"),
    [({}, True), ({"is_closed": True}, False), ({"_content": b"whole"}, False)],
    ids=["open", "closed", "read"],
)
async def test_only_the_body_of_a_response_that_is_still_to_be_read_is_bounded(
    bound: Any, has: dict[str, Any], is_bounded: bool
) -> None:
    """Mocks and caches give responses that have been read."""
    _, budget, tracker = call()
    made = response(**has)
    before = made.stream
    bound(made, budget, tracker)
    assert (made.stream is not before) is is_bounded


class Steps(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """A body whose parts take some seconds each; an error is raised, a function called."""

    def __init__(self, clock: Any, *steps: tuple[float, Any]) -> None:
        self.closed = 0
        self.asked = 0
        self.stalls = False
        self._clock, self._steps = clock, list(steps)

    def _next(self, end: type[Exception]) -> bytes:
        self.asked += 1
        seconds, said = self._steps.pop(0) if self._steps else (0.0, end())
        if seconds:
            self._clock.time += seconds
        if callable(said):
            said = said() or end()
        if isinstance(said, BaseException):
            raise said
        return bytes(said)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> bytes:
        return self._next(StopIteration)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> bytes:
        if self.stalls and not self._steps:
            await asyncio.Event().wait()
        return self._next(StopAsyncIteration)

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


class Tracker:
    """Notes what a body does to its connection."""

    def __init__(self, can_cut: bool = True) -> None:
        self.done: list[str] = []
        self.can_cut = can_cut

    def cut(self, in_use: bool = True) -> None:
        self.done.append("cut in use" if in_use else "cut")

    def end_dropped(self) -> None:
        self.done.append("dropped")

    async def reset_stream(self) -> None:
        self.done.append("reset")


class Called:
    """A call whose body is read synchronously, or asynchronously in a loop of its own."""

    def __init__(
        self, is_async: bool, *steps: tuple[float, Any], bounds: Bounds | None = None,
        clock: Any = None, encoding: str | None = None,
    ) -> None:  # fmt: skip
        self.headers = {} if encoding is None else {"content-encoding": encoding}
        self.clock: Any = clock or Far()
        self.budget = Budget(Bounds(5.0) if bounds is None else bounds, self.clock)
        self.source = Steps(self.clock, *steps)
        self.tracker: Any = Tracker()
        self.loop = asyncio.new_event_loop() if is_async else None
        self.body: Any = self._made()

    def _made(self) -> Any:
        response: Any = SimpleNamespace(stream=self.source, headers=self.headers)
        if self.loop is None:
            return iter(_SyncBody(response, self.budget, self.tracker))

        async def make() -> Any:
            return aiter(_AsyncBody(response, self.budget, self.tracker))

        return self.loop.run_until_complete(make())

    def read(self) -> Any:
        """Return the next part, or the error; None: the end."""
        try:
            if self.loop is None:
                return next(self.body)
            return self.loop.run_until_complete(anext(self.body))
        except (StopIteration, StopAsyncIteration):
            return None
        except Exception as error:
            return error

    def close(self) -> None:
        if self.loop is None:
            self.body.close()
        else:
            self.loop.run_until_complete(self.body.aclose())

    def rest(self) -> None:
        """Let the loop do what it was asked to do, and close it."""
        if self.loop is not None and not self.loop.is_closed():
            for _ in range(3):
                self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


BROKEN = httpx2.ReadError("the connection is gone")
both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both
@pytest.mark.parametrize("encoding", ["gzip", " BR", "identity", None])
def test_a_packed_body_is_handed_over_in_small_parts(encoding: str | None, is_async: bool) -> None:
    data = bytes(range(150))
    call = Called(is_async, (1, data), (1, b"b"), encoding=encoding)
    is_packed = encoding in {"gzip", " BR"}
    expected = [data[:64], data[64:128], data[128:]] if is_packed else [data]
    assert [call.read() for _ in expected] == expected
    assert (call.source.asked, call.read(), call.read()) == (1, b"b", None)
    call.rest()


@both
def test_the_clock_is_looked_at_between_two_parts(is_async: bool) -> None:
    call = Called(is_async, (1, bytes(1000)), encoding="gzip")
    assert call.read() == bytes(64)
    call.clock.time += 9
    assert isinstance(call.read(), StreamDeadlineExceeded)
    assert call.read() is None
    call.rest()


async def test_the_event_loop_runs_between_two_parts() -> None:
    clock, tracker = Far(), cast("Any", Tracker())
    source = Steps(clock, (0, bytes(64 * 9)))
    response: Any = SimpleNamespace(stream=source, headers={"content-encoding": "gzip"})
    turns: list[None] = []

    def turn() -> None:
        turns.append(None)
        loop.call_soon(turn)

    loop = asyncio.get_running_loop()
    loop.call_soon(turn)
    body: Any = aiter(_AsyncBody(response, Budget(Bounds(5.0), clock), tracker))
    for _ in range(9):
        assert await anext(body) == bytes(64)
    assert len(turns) >= 8
    await body.aclose()


@both
def test_a_body_comes_whole_and_is_not_asked_after_its_end(is_async: bool) -> None:
    with CallGroup() as group:
        call = Called(is_async, (1, b"a"), (1, b"b"))
        assert [call.read(), call.read()] == [b"a", b"b"]
        assert group.has_calls
        assert [call.read(), call.read()] == [None, None]
    assert (call.source.asked, call.budget.chunks, call.tracker.done) == (3, 2, [])
    assert not group.has_calls
    call.close()
    call.rest()
    assert call.source.closed == 1


@both
@pytest.mark.parametrize(("seconds", "late"), [(3.9, False), (4.0, True), (9.0, True)])
def test_a_part_that_comes_at_the_deadline_or_later_is_an_error(
    seconds: float, late: bool, is_async: bool
) -> None:
    with CallGroup() as group:
        call = Called(is_async, (1, b"a"), (seconds, b"b"))
        assert call.read() == b"a"
        found = call.read()
        assert group.has_calls is not late
    if late:
        assert isinstance(found, StreamDeadlineExceeded)
        assert isinstance(found, openai.OpenAIError)  # or the SDK would try again
        assert (found.bound, found.chunks, found.partial) == ("timeout", 1, None)
        assert found.__cause__ is None
        assert (call.tracker.done, call.source.closed) == (["cut in use"], 1)
        assert call.read() is None
        assert call.source.asked == 2
    else:
        assert found == b"b"
        assert (call.tracker.done, call.source.closed) == ([], 0)
    call.close()
    call.rest()


@both
@pytest.mark.parametrize(("seconds", "ran_out"), [(3.9, False), (4.0, True), (9.0, True)])
def test_an_error_of_the_connection_is_that_of_the_deadline_once_that_has_passed(
    seconds: float, ran_out: bool, is_async: bool
) -> None:
    with CallGroup() as group:
        call = Called(is_async, (1, b"a"), (seconds, BROKEN))
        call.read()
        found = call.read()
        assert not group.has_calls
    if ran_out:
        assert isinstance(found, StreamDeadlineExceeded)
        assert found.__cause__ is BROKEN
        assert (call.tracker.done, call.source.closed) == (["cut in use"], 1)
    else:
        assert found is BROKEN
        assert (call.tracker.done, call.source.closed) == ([], 0)  # the client closes it
    assert call.read() is None
    call.rest()


@both
def test_an_end_that_comes_late_is_an_end(is_async: bool) -> None:
    call = Called(is_async, (1, b"a"), (9, StopAsyncIteration() if is_async else StopIteration()))
    assert [call.read(), call.read()] == [b"a", None]
    assert call.tracker.done == []
    call.rest()


PARTS = Bounds(60.0, first_chunk_timeout=4.0, idle_timeout=2.0)


@both
@pytest.mark.parametrize(
    ("steps", "pause", "bound"),
    [
        ([(3.9, BROKEN)], 0.0, None),
        ([(4.1, BROKEN)], 0.0, "first_chunk_timeout"),
        ([(3.0, b"data: x\n\n"), (1.9, BROKEN)], 0.0, None),
        ([(3.0, b"data: x\n\n"), (2.1, BROKEN)], 0.0, "idle_timeout"),
        # Comments, which keep a connection alive, say nothing.
        ([(3.0, b": hm\n\n"), (0.9, BROKEN)], 0.0, None),
        ([(3.0, b": hm\n\n"), (1.1, BROKEN)], 0.0, "first_chunk_timeout"),
        ([(1.0, b"data: x\n\n"), (1.5, b": hm\n\n"), (0.6, BROKEN)], 0.0, "idle_timeout"),
        # What the caller takes for itself is no silence of the server.
        ([(3.0, b"data: x\n\n"), (1.9, BROKEN)], 20.0, None),
        ([(3.0, b"data: x\n\n"), (2.1, BROKEN)], 20.0, "idle_timeout"),
        ([(3.0, b": hm\n\n"), (0.9, BROKEN)], 20.0, None),
        ([(3.0, b": hm\n\n"), (1.1, BROKEN)], 20.0, "first_chunk_timeout"),
        ([(3.0, b"data: x\n\n"), (1.9, BROKEN)], 80.0, "timeout"),
    ],
)
def test_the_time_without_a_word_is_counted_while_the_server_is_waited_for(
    steps: list[tuple[float, Any]], pause: float, bound: str | None, is_async: bool
) -> None:
    call = Called(is_async, *steps, bounds=PARTS)
    for _ in steps[:-1]:
        assert isinstance(call.read(), bytes)
        call.clock.time += pause
    error = call.read()
    assert getattr(error, "bound", None) == bound
    call.rest()


@both
def test_a_wait_that_must_end_sooner_is_looked_at_sooner(is_async: bool) -> None:
    """A first word sets the bound of the next silence, and the alarm."""
    call = Called(is_async, (1, b"data: x\n\n"), (1, b"data: y\n\n"), bounds=PARTS)
    began = call.clock.time
    call.read()
    assert call.body._alarm.set_for == began + 4
    call.read()
    assert call.body._alarm.set_for == began + 3
    assert call.body._alarm.waiting is False
    call.close()
    call.rest()


@both
@pytest.mark.parametrize("said", [b"late", BROKEN, None])
def test_a_call_that_was_ended_raises_whatever_comes_then(said: Any, is_async: bool) -> None:
    """The interrupt may look like an end."""
    with virtual_clock() as clock, CallGroup() as group:

        def ended() -> Any:
            group.end()
            return said

        call = Called(is_async, (0, b"a"), (0, ended), clock=clock)
        assert call.read() == b"a"
        error = call.read()
        assert isinstance(error, StreamDeadlineExceeded)
        assert (error.bound, call.source.closed) == ("caller", 1)
        assert error.__cause__ is (BROKEN if said is BROKEN else None)
        assert call.tracker.done == ["cut in use"] * 2  # by the one who ends it, and by the reader
        assert not group.has_calls
        assert call.read() is None
        call.rest()


@both
def test_a_call_that_is_ended_while_nothing_reads_frees_the_connection(is_async: bool) -> None:
    with virtual_clock() as clock, CallGroup() as group:
        call = Called(is_async, (0, b"a"), clock=clock)
        assert call.read() == b"a"
        group.end()
        assert call.tracker.done == ["cut in use" if is_async else "cut"]
        if call.loop is not None:
            assert call.source.closed == 0  # only the loop's own thread may close its streams
            call.loop.run_until_complete(asyncio.sleep(0))
            call.loop.run_until_complete(asyncio.sleep(0))
            assert call.source.closed == 1
            assert not _body._closing
        assert isinstance(call.read(), StreamDeadlineExceeded)
        assert call.source.asked == 1
        call.rest()


@pytest.mark.parametrize("still_waits", [True, False])
def test_a_call_that_is_ended_while_it_is_read_is_closed_by_its_reader(still_waits: bool) -> None:
    with virtual_clock() as clock, CallGroup() as group:
        call = Called(True, (0, b"a"), clock=clock)
        call.read()
        call.body._alarm.waiting = True
        group.end()
        call.body._alarm.waiting = still_waits
        call.rest()
    assert (call.tracker.done, call.source.closed) == (["cut in use"], 0)


def test_a_reader_that_comes_before_the_loop_closes_the_body_closes_it() -> None:
    with virtual_clock() as clock, CallGroup() as group:
        call = Called(True, (0, b"a"), clock=clock)
        call.read()
        group.end()
        call.body._alarm.waiting = True
        call.rest()
    assert call.source.closed == 0


def test_a_call_whose_loop_is_closed_is_ended_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with virtual_clock() as clock, CallGroup() as group:
        call = Called(True, (0, b"a"), clock=clock)
        call.read()
        call.rest()
        group.end()
    assert (call.tracker.done, call.source.closed) == (["cut in use"], 0)
    assert not caplog.records


@both
@pytest.mark.parametrize("closes", [True, False])
def test_a_body_that_is_dropped_ends_its_connection(closes: bool, is_async: bool) -> None:
    with CallGroup() as group:
        call = Called(is_async, (0, b"a"))
        call.read()
        if closes:
            call.close()
        call.body = None
        gc.collect()
        assert not group.has_calls
    assert call.tracker.done == ([] if closes else ["dropped"])
    call.rest()


@both
def test_an_alarm_keeps_no_body(is_async: bool) -> None:
    """A dropped one is collected while the alarm is set, and its interrupt does nothing."""
    call = Called(is_async, (0, b"a"))
    call.read()
    interrupt = call.body._alarm._interrupt
    there = weakref.ref(call.body)
    call.body = None
    gc.collect()
    assert there() is None
    interrupt(False)
    assert call.tracker.done == ["dropped"]
    call.rest()


@both
def test_an_error_keeps_no_body_once_it_is_handled(is_async: bool) -> None:
    call = Called(is_async, (9, b"a"))
    there = weakref.ref(call.body)
    gc.disable()
    try:
        with pytest.raises(StreamDeadlineExceeded):
            # Without the loop, which keeps what its tasks have raised for a while.
            call.body.__anext__().send(None) if is_async else next(call.body)
        call.body = None
        assert there() is None
    finally:
        gc.enable()
    call.rest()


def test_a_body_that_could_not_be_made_is_dropped_in_silence() -> None:
    for kind in (_SyncBody, _AsyncBody):
        kind.__new__(kind).__del__()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"data: x\n\n", True),
        (b"x", True),
        (b": hm\n\n", False),
        (b":\n\n", False),
        (b": a\n\n: b\r\n\r\n:", False),
        (b": hm\n\ndata: x\n\n", True),
        (b": hm\n\nd", True),
        (b"\n: hm\n", True),  # it begins with the rest of another line
    ],
)
def test_comments_alone_say_nothing(data: bytes, says: bool) -> None:
    assert says_something(data) is says
    assert BodyAccumulator().add(data) is says


# A connection that cannot be shut down


async def read_ahead(*steps: tuple[float, Any]) -> tuple[Called, Any]:
    call = Called(False, *steps)
    response: Any = SimpleNamespace(stream=call.source, headers={})
    return call, _ReadAheadBody(response, call.budget, call.tracker)


async def test_a_body_that_is_read_ahead_comes_whole() -> None:
    call, body = await read_ahead((0, b"a"), (0, b"b"))
    assert [data async for data in aiter(body)] == [b"a", b"b"]
    await body.aclose()
    assert (call.tracker.done, call.source.closed) == ([], 1)


async def test_a_body_that_is_read_ahead_is_reset_if_its_reader_leaves() -> None:
    call, body = await read_ahead((0, b"a"))
    call.source.stalls = True
    assert await anext(body) == b"a"
    await body.aclose()
    assert (call.tracker.done[-1], call.source.closed) == ("reset", 1)


async def test_a_body_that_is_read_ahead_ends_at_the_deadline_in_the_sdks_words() -> None:
    call, body = await read_ahead((9, BROKEN))
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await anext(body)
    assert isinstance(caught.value, openai.OpenAIError)
    assert "reset" in call.tracker.done
    assert call.source.closed == 1


# Which body a response gets


def is_family(stream: Any, name: str, module: str) -> bool:
    return any(
        base.__name__ == name and base.__module__.split(".")[0] == module
        for base in type(stream).__mro__
    )


class Httpx(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body of the older library."""


class Of2(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """A body of the newer one."""


class SyncByteStream(httpx2.SyncByteStream):
    """One of a user, of the same name."""


@pytest.mark.parametrize(
    ("stream", "module"),
    [(Httpx(), "httpx"), (Of2(), "httpx2"), (SyncByteStream(), "httpx2"), (object(), None)],
)
async def test_the_body_is_one_of_the_clients_library(stream: Any, module: str | None) -> None:
    budget = Budget(Bounds(5.0), _clock.monotonic)
    for bound, base, ours in (
        (bound_body, "SyncByteStream", _SyncBody),
        (bound_async_body, "AsyncByteStream", _AsyncBody),
    ):
        made = response(stream=stream)
        tracker: Any = Tracker()
        bound(made, budget, tracker)
        assert isinstance(made.stream, ours)
        assert type(made.stream).__name__ == ours.__name__
        if isinstance(stream, SyncByteStream):
            assert not isinstance(made.stream, SyncByteStream)
        elif module is not None:
            assert is_family(made.stream, base, module)
        made.stream._give_up()


@pytest.mark.parametrize(
    ("can_cut", "own_clock", "kind"),
    [(True, False, _AsyncBody), (False, False, _ReadAheadBody), (True, True, _ReadAheadBody)],
)
async def test_a_task_reads_a_body_that_the_watchdog_cannot_end(
    can_cut: bool, own_clock: bool, kind: Any
) -> None:
    budget = Budget(Bounds(5.0), Far() if own_clock else _clock.monotonic)
    made: Any = response()
    tracker: Any = Tracker(can_cut)
    bound_async_body(made, budget, tracker)
    body: Any = made.stream
    assert isinstance(body, kind)
    await body.aclose()
