"""The task that reads a stream: its bounds, its ends and what it leaves."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, cast

import looptime
import pytest

from stream_deadline import AnswerCutShort, StreamDeadlineExceeded, _watchdog, bounded, deadline
from stream_deadline._accumulate import Accumulator, NullAccumulator
from stream_deadline._bounded import BoundedStream
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import CallGroup
from stream_deadline._reader import Reader
from stream_deadline.testing import VirtualClock, virtual_clock
from tests.stream_deadline.sources import Source, elapsed, virtually
from tests.stream_deadline.still_clock import Clock, machine_stands_still
from tests.stream_deadline.words import Words

LONG = 60.0


async def items() -> AsyncIterator[int]:
    for number in range(3):
        await asyncio.sleep(0.01)
        yield number


def timers(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    scheduled: list[asyncio.TimerHandle] = cast("Any", loop)._scheduled
    return [each for each in scheduled if not each.cancelled()]


@pytest.mark.parametrize(
    "parts",
    [{}, {"first_chunk_timeout": LONG / 2}, {"idle_timeout": 5.0}, {"first_chunk_timeout": 9.0, "idle_timeout": 5.0}],
    ids=str,
)  # fmt: skip
def test_a_stream_that_has_ended_leaves_no_timer(parts: dict[str, float]) -> None:
    """A bound of silence is reached before the total one, whose timer is set first."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stream = bounded(items(), LONG, **parts)
        assert len(timers(loop)) == 1
        async for _ in stream:
            assert len(timers(loop)) <= 2, "the stream's own, and the source's"
        for _ in range(5):  # the source is closed a few turns later
            await asyncio.sleep(0)
        assert not timers(loop)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def test_a_stream_that_is_dropped_after_its_loop_asks_nothing_of_it() -> None:
    async def main() -> BoundedStream[int]:
        stream = bounded(items(), LONG)
        await anext(stream)
        return stream

    stream = asyncio.run(main())
    stream._reader.abandon()  # as the garbage collector does


def test_a_stream_that_has_ended_asks_nothing_of_its_loop() -> None:
    async def main() -> None:
        stream = bounded(items(), LONG)
        assert [each async for each in stream] == [0, 1, 2]
        called: list[int] = []
        stream._reader._call_in_loop(lambda: called.append(1))
        await asyncio.to_thread(stream._reader._call_in_loop, lambda: called.append(2))
        await asyncio.sleep(0.05)
        assert not called

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limit", "loop", "is_watched"),
    [(LONG, asyncio.SelectorEventLoop, True), (None, asyncio.SelectorEventLoop, False),
     (LONG, looptime.new_event_loop, False)],
    ids=["a bound", "no bound", "a virtual clock"],
)  # fmt: skip
def test_only_a_bound_on_the_clock_of_threads_is_watched_by_one(
    limit: float | None, loop: Callable[[], asyncio.AbstractEventLoop], is_watched: bool
) -> None:
    async def main() -> None:
        stream = bounded(items(), limit)
        assert (stream._reader._alarm is not None) == is_watched
        await stream.aclose()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_a_call_in_the_loop_runs_in_its_thread() -> None:
    async def main() -> None:
        stream = bounded(items(), LONG)
        threads: list[int] = []
        stream._reader._call_in_loop(lambda: threads.append(threading.get_ident()))
        assert len(threads) == 1, "at once, from the loop itself"
        await asyncio.to_thread(
            stream._reader._call_in_loop, lambda: threads.append(threading.get_ident())
        )
        await asyncio.sleep(0.01)
        assert threads == [threading.get_ident()] * 2
        await stream.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("reads", ["to its end", "two items"])
def test_the_stream_and_its_iterator_are_closed_if_they_are_two(reads: str) -> None:
    closed: list[str] = []

    class Iterator:
        def __init__(self) -> None:
            self._left = 3

        async def __anext__(self) -> int:
            if not self._left:
                raise StopAsyncIteration
            self._left -= 1
            return self._left

        async def aclose(self) -> None:
            closed.append("iterator")

    class Stream:
        def __aiter__(self) -> AsyncIterator[int]:
            return cast("AsyncIterator[int]", Iterator())

        async def aclose(self) -> None:
            closed.append("stream")

    async def main() -> None:
        stream = bounded(Stream(), LONG)
        if reads == "to its end":
            assert [each async for each in stream] == [2, 1, 0]
        else:
            await anext(stream)
        await stream.aclose()
        assert closed == ["iterator", "stream"]

    asyncio.run(main())


def test_the_alarm_of_a_stream_that_has_ended_is_called_off() -> None:
    async def main() -> None:
        stream = bounded(items(), LONG)
        alarm = stream._reader._alarm
        assert alarm is not None
        assert not alarm._over
        assert [each async for each in stream] == [0, 1, 2]
        for _ in range(5):
            await asyncio.sleep(0)
        assert alarm._over

    asyncio.run(main())


def test_the_connection_of_a_stream_that_is_read_is_cut_in_use() -> None:
    cut: list[bool] = []

    async def main() -> None:
        budget = Budget(Bounds(LONG), asyncio.get_running_loop().time)
        reader = Reader(items(), budget, NullAccumulator(), cut.append, None)
        await asyncio.sleep(0)
        reader.stop()
        await reader.settle()

    asyncio.run(main())
    assert cut == [True]


def read(
    source: AsyncIterable[int],
    bounds: Bounds,
    *,
    accumulator: Accumulator | None = None,
    cut: Callable[[bool], None] = lambda in_use: None,
    ended: Callable[[], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> Reader[int]:
    """Read a source on the clock of the running loop, or another one."""
    budget = Budget(bounds, clock or asyncio.get_running_loop().time)
    return Reader(source, budget, accumulator or Words(), cut, None, ended)


async def pull(reader: Reader[int]) -> list[int]:
    """Take what comes, as a consumer does, until the end; and raise its error."""
    taken: list[int] = []
    while reader.buffer or not reader.ended:
        if reader.buffer:
            taken.append(reader.take())
        else:
            await reader.wait()
    await reader.settle()
    if reader.failure is not None:
        raise reader.failure
    return taken


async def odd_numbers() -> AsyncIterator[int]:
    for number in range(1, 100, 2):
        await asyncio.sleep(1)
        yield number


@virtually
async def test_the_end_of_a_source_is_noted_once_and_after_its_clean_up() -> None:
    ends: list[float] = []
    source = Source(ends=2, closing=3)
    reader = read(source, Bounds(45), ended=lambda: ends.append(elapsed()))
    assert await pull(reader) == [0, 1]
    assert elapsed() < 3, "the consumer does not wait for the clean-up"
    assert not ends
    await asyncio.sleep(10)
    reader.stop()
    assert ends == [pytest.approx(5, abs=0.1)]


@virtually
async def test_items_that_say_nothing_do_not_keep_a_silence_from_its_end() -> None:
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await pull(read(odd_numbers(), Bounds(45, first_chunk_timeout=3.5)))
    assert (caught.value.bound, caught.value.chunks) == ("first_chunk_timeout", 3)
    assert elapsed() == pytest.approx(3.5, abs=0.1)


@virtually
async def test_progress_without_an_item_starts_a_new_silence() -> None:
    loop = asyncio.get_running_loop()
    reader = read(odd_numbers(), Bounds(45, first_chunk_timeout=20, idle_timeout=2))
    for at in (1.5, 3.0):
        loop.call_at(at, reader.note_progress)
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await pull(reader)
    assert caught.value.bound == "idle_timeout"
    assert elapsed() == pytest.approx(5, abs=0.1)


@virtually
async def test_progress_is_nothing_to_a_call_without_a_bound_of_silence() -> None:
    reader = read(Source(ends=3), Bounds(45))
    reader.note_progress()
    assert len(timers(asyncio.get_running_loop())) == 1
    assert await pull(reader) == [0, 1, 2]


@pytest.mark.parametrize("where", ["in the loop", "in a thread"])
@virtually
async def test_a_client_that_leaves_ends_the_stream_in_its_middle(where: str) -> None:
    cut: list[bool] = []
    source = Source(every=1)
    reader = read(source, Bounds(45), cut=cut.append)
    await asyncio.sleep(3.5)
    assert len(reader.buffer) == 3
    if where == "in the loop":
        reader.revoke()
    else:
        thread = threading.Thread(target=reader.revoke)
        thread.start()
        thread.join()
        assert cut == [True], "even if the loop stands still"
        await asyncio.sleep(0)
    assert (list(reader.buffer), reader.ended) == ([], True)
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await pull(reader)
    assert (caught.value.bound, caught.value.chunks) == ("caller", 0)
    assert all(cut)
    assert source.closed == 1


@virtually
async def test_a_client_that_leaves_after_the_end_cuts_nothing() -> None:
    cut: list[bool] = []
    reader = read(Source(ends=1), Bounds(45), cut=cut.append)
    assert await pull(reader) == [0]
    reader.revoke()
    assert not cut
    assert await pull(reader) == []


@virtually
async def test_the_end_of_a_group_ends_its_streams_and_cuts_them_as_in_use() -> None:
    cut: list[bool] = []
    with CallGroup() as group:
        reader = read(Source(), Bounds(45), cut=cut.append)
        other = read(Source(ends=1), Bounds(45))
    assert await pull(other) == [0]
    await asyncio.sleep(0)
    assert len(group._ends) == 1, "one that has ended is forgotten"
    group.end()
    with pytest.raises(StreamDeadlineExceeded, match="has disconnected"):
        await pull(reader)
    assert set(cut) == {True}
    assert not group.has_calls


def test_the_watchdog_is_no_second_member_of_the_group() -> None:
    async def main() -> None:
        with CallGroup() as group:
            stream = bounded(items(), LONG)
            assert len(group._ends) == 1
        await stream.aclose()

    asyncio.run(main())


def test_the_watchdog_leaves_the_loop_a_moment_for_its_own_timer() -> None:
    async def main() -> None:
        stream = bounded(items(), LONG)
        alarm = stream._reader._alarm
        assert alarm is not None
        moment = alarm.set_for - stream._reader.budget.total_at
        assert moment == pytest.approx(0.02, abs=1e-6)
        await stream.aclose()

    asyncio.run(main())


def test_the_watchdog_cuts_a_stream_in_use_whose_loop_stands_still() -> None:
    cut: list[bool] = []
    was_cut = threading.Event()

    def note(in_use: bool) -> None:
        cut.append(in_use)
        was_cut.set()

    async def main(clock: Clock) -> None:
        reader = Reader(items(), Budget(Bounds(LONG), clock), Words(), note, None)
        await asyncio.sleep(0)
        clock.time += LONG + 1
        _watchdog._watchdog.wake()
        assert was_cut.wait(60)  # the loop stands still
        reader.stop()
        await reader.settle()

    with machine_stands_still() as clock:
        asyncio.run(main(clock))
    assert set(cut) == {True}


@virtually
async def test_an_end_without_a_finish_is_an_answer_cut_short_after_its_items() -> None:
    reader = read(Source(ends=3), Bounds(45), accumulator=Words(whole=False))
    await asyncio.sleep(1.5)
    assert reader.take() == 0
    await asyncio.sleep(5)
    assert isinstance(reader.failure, AnswerCutShort)
    assert (reader.failure.chunks, reader.failure.partial) == (3, [0, 1, 2])
    assert (list(reader.buffer), reader.ended) == ([1, 2], True)


class Fails(AsyncIterator[int]):
    """A source that gives two items, and then raises an error after a second."""

    def __init__(self, error: BaseException, before: Callable[[], None] = lambda: None) -> None:
        self._error, self._before, self._left = error, before, 2

    async def __anext__(self) -> int:
        if self._left:
            self._left -= 1
            return 2
        await asyncio.sleep(1)
        self._before()
        raise self._error


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("error", [ValueError(), KeyError()], ids=["of a half", "another"])
@virtually
async def test_an_error_of_half_an_answer_is_an_answer_cut_short(
    whole: bool, error: Exception
) -> None:
    reader = read(Fails(error), Bounds(45), accumulator=Words(whole))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await pull(reader)
    if isinstance(error, ValueError) and not whole:
        assert isinstance(caught.value, AnswerCutShort)
        assert caught.value.__cause__ is error
        assert caught.value.chunks == 2
    else:
        assert caught.value is error


@pytest.mark.parametrize(
    ("bounds", "now", "bound", "chunks"),
    [(Bounds(45), 44.9, None, 0), (Bounds(45), 45, "timeout", 1),
     (Bounds(45, None, 5), 4.9, None, 0), (Bounds(45, None, 5), 5, "idle_timeout", 2)],
)  # fmt: skip
@virtually
async def test_an_error_in_the_moment_of_a_bound_is_the_bound_s(
    bounds: Bounds, now: float, bound: str | None, chunks: int
) -> None:
    error, clock = KeyError(), Clock(0.0)
    source = Fails(error, lambda: clock.move(now))
    reader = read(source, bounds, clock=clock)
    await asyncio.sleep(0.5)
    reader.take()
    await asyncio.sleep(1)
    if bound is None:
        assert reader.failure is error
    else:
        assert isinstance(reader.failure, StreamDeadlineExceeded)
        assert (reader.failure.bound, reader.failure.chunks) == (bound, chunks)
        assert reader.failure.__cause__ is error


@virtually
async def test_an_error_of_a_call_that_a_layer_below_has_ended_is_the_bound_s() -> None:
    error = KeyError()
    reader = read(Fails(error), Bounds(45))
    reader.budget.ended_below = True
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await pull(reader)
    assert (caught.value.__cause__, caught.value.chunks) == (error, 2)


@virtually
async def test_the_end_of_a_bound_without_an_error_is_no_error() -> None:
    reader = read(Source(ends=1), Bounds(45))
    await asyncio.sleep(60)
    assert (list(reader.buffer), reader.failure, reader.ended) == ([0], None, True)
    reader.take()
    reader.expire()
    assert reader.failure is None, "it has been read to its end"


@virtually
async def test_items_that_were_not_taken_by_the_end_are_dropped_with_an_error() -> None:
    reader = read(Source(ends=2), Bounds(45))
    await asyncio.sleep(60)
    reader.expire()
    assert not reader.buffer
    assert isinstance(reader.failure, StreamDeadlineExceeded)
    assert reader.failure.chunks == 0


@virtually
async def test_a_part_that_runs_out_after_the_end_of_the_stream_ends_nothing() -> None:
    reader = read(Source(ends=2), Bounds(45, None, 3))
    await asyncio.sleep(2.5)
    reader.expire()
    assert (list(reader.buffer), reader.failure) == ([0, 1], None)


@virtually
async def test_a_cancellation_of_the_source_by_itself_is_the_stream_s_end() -> None:
    clock = Clock(0.0)
    source = Fails(asyncio.CancelledError(), lambda: clock.move(45))
    with pytest.raises(asyncio.CancelledError):
        await pull(read(source, Bounds(45), clock=clock))


@virtually
async def test_the_end_of_the_loop_ends_a_source_that_swallows_it() -> None:
    """As `asyncio.Runner` does: it cancels every task once, and waits for all of them."""
    source = Source(every=1e9, first=1, deaf=1)
    reader = read(source, Bounds(1e6))
    await asyncio.sleep(2)
    [task] = asyncio.all_tasks() - {asyncio.current_task()}
    task.cancel()
    await asyncio.sleep(1)
    assert task.cancelled()
    assert reader.ended
    assert source.closed == 1


@pytest.mark.parametrize("kind", ["a coroutine", "a function"])
@virtually
async def test_a_source_that_has_only_a_close_is_closed_by_it(kind: str) -> None:
    closed: list[str] = []

    class Plain:
        def __aiter__(self) -> AsyncIterator[int]:
            return cast("AsyncIterator[int]", self)

        async def __anext__(self) -> int:
            raise StopAsyncIteration

        def close(self) -> Any:
            closed.append("called")

            async def wait() -> None:
                await asyncio.sleep(0)
                closed.append("awaited")

            return wait() if kind == "a coroutine" else None

    assert await pull(read(Plain(), Bounds(45))) == []
    assert closed == (["called", "awaited"] if kind == "a coroutine" else ["called"])


@virtually
async def test_a_stream_that_is_dropped_keeps_no_error() -> None:
    source = Source(ends=1)
    reader = read(source, Bounds(45), accumulator=Words(whole=False))
    await asyncio.sleep(5)
    assert reader.failure is not None
    reader.abandon()
    assert reader.failure is None


@virtually
async def test_a_stream_that_is_dropped_in_its_middle_closes_its_source() -> None:
    cut: list[bool] = []
    source = Source()
    reader = read(source, Bounds(45), cut=cut.append)
    await asyncio.sleep(2.5)
    reader.abandon()
    await reader.settle()
    assert (cut, source.closed, list(reader.buffer)) == ([True], 1, [])


@virtually
async def test_a_timer_that_comes_early_looks_again() -> None:
    reader = read(Source(first=1e9), Bounds(45, first_chunk_timeout=5))
    reader._look()
    assert not reader.ended
    with pytest.raises(StreamDeadlineExceeded):
        await pull(reader)
    assert elapsed() == pytest.approx(5, abs=0.1)


@virtually
async def test_a_silence_that_is_noticed_late_is_postponed_once() -> None:
    reader = read(Source(first=1e9), Bounds(45, first_chunk_timeout=5))
    now = asyncio.get_running_loop().time
    late = [0.0]
    reader.budget.clock = lambda: now() + late[0]
    late[0] = 5.1
    reader._look()
    assert not reader.ended
    assert reader.budget.due == pytest.approx(5 + 0.1 + 0.01)
    late[0] = 6.0
    reader._look()
    assert reader.ended


def test_a_jump_of_the_clock_ends_a_stream_that_waits() -> None:
    async def main(clock: VirtualClock) -> None:
        stream = bounded(items(), LONG)
        await anext(stream)
        clock.advance(LONG - 1)
        await anext(stream)
        clock.advance(1)
        assert stream._reader.ended, "at once"
        with pytest.raises(StreamDeadlineExceeded):
            await anext(stream)

    with virtual_clock() as clock:
        asyncio.run(main(clock))


@virtually
async def test_a_full_reader_pulls_on_as_soon_as_there_is_room() -> None:
    source = Source(every=0)
    reader = read(source, Bounds(45))
    await asyncio.sleep(1)
    assert len(source.sent) == 16
    reader.take()
    assert len(source.sent) == 16
    await asyncio.sleep(1)
    assert len(source.sent) == 17
    assert list(reader.buffer) == list(range(1, 17))
    reader.stop()
    await reader.settle()


@pytest.mark.parametrize("silence", [{"first_chunk_timeout": 5}, {"idle_timeout": 5}], ids=str)
@virtually
async def test_the_time_in_which_a_reader_is_full_is_no_silence(silence: dict[str, float]) -> None:
    class Quiet(Words):
        def add(self, item: int) -> bool:
            return "idle_timeout" in silence

    await asyncio.sleep(10)
    reader = read(Source(every=0, stalls=16), Bounds(45, **silence), accumulator=Quiet())
    await asyncio.sleep(30)
    assert not reader.ended
    taken = [reader.take()]
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await pull(reader)
    assert taken == [0]
    assert caught.value.bound == next(iter(silence))
    assert elapsed() == pytest.approx(10 + 35, abs=0.1)


@virtually
async def test_the_whole_ends_while_a_reader_is_full() -> None:
    source = Source(every=0)
    reader = read(source, Bounds(20, 5, 5))
    await asyncio.sleep(21)
    assert source.closed_at == pytest.approx(20, abs=0.1)
    assert isinstance(reader.failure, StreamDeadlineExceeded)


@virtually
async def test_a_deadline_that_was_lifted_leaves_a_stream_its_own_end() -> None:
    source = Source(every=1)
    with deadline(3) as due:
        reader = read(source, Bounds(6))
    due.lift()
    await asyncio.sleep(5)
    assert not reader.ended
    await asyncio.sleep(5)
    assert source.closed_at == pytest.approx(6, abs=0.1)


@virtually
async def test_a_stream_at_its_end_sets_no_timer_for_a_deadline_that_was_lifted() -> None:
    with deadline(3) as due:
        stream = bounded(Source(every=0, ends=2), 45)
    await asyncio.sleep(1)
    due.lift()
    await asyncio.sleep(5)
    assert [item async for item in stream] == [0, 1]
    assert not timers(asyncio.get_running_loop())


@virtually
async def test_items_that_came_before_a_silence_are_kept_and_counted() -> None:
    reader = read(Source(every=1, stalls=3), Bounds(45, None, 2), accumulator=NullAccumulator())
    await asyncio.sleep(10)
    assert (list(reader.buffer), reader.ended) == ([0, 1, 2], True)
    assert isinstance(reader.failure, StreamDeadlineExceeded)
    assert reader.failure.chunks == 3


@virtually
async def test_a_stream_that_is_stopped_before_its_first_step_closes_its_source() -> None:
    source = Source()
    reader = read(source, Bounds(45))
    reader.stop()
    await reader.settle()
    assert (source.closed, source.sent) == (1, [])


@pytest.mark.parametrize("clean_up", ["fails", "is cancelled", "ends"])
@virtually
async def test_a_stream_that_was_stopped_troubles_its_loop_with_nothing(clean_up: str) -> None:
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))

    class Closing(Source):
        async def aclose(self) -> None:
            if clean_up == "fails":
                raise KeyError
            if clean_up == "is cancelled":
                raise asyncio.CancelledError

    reader = read(Closing(), Bounds(45))
    await asyncio.sleep(2.5)
    reader.stop()
    await asyncio.sleep(1)
    assert reader.failure is None
    del reader
    gc.collect()
    assert not troubles


@virtually
async def test_a_stream_that_was_stopped_waits_only_for_its_clean_up() -> None:
    reader = read(Source(closing=0.2), Bounds(45, 30, 20))
    await asyncio.sleep(2.5)
    reader.stop()
    await asyncio.sleep(0.1)
    left = timers(asyncio.get_running_loop())
    assert len(left) == 2, "the source's, and the one that cancels it again"
    assert all(each.when() < 3 for each in left)
    await asyncio.sleep(1)
    assert not timers(asyncio.get_running_loop())
