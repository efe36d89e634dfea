"""The contract of `bounded`, on a virtual clock: each test is a sentence of it."""

import asyncio
import contextlib
import gc
import math
import socket
import sys
import weakref
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from stream_deadline import BoundedStream, Deadline, StreamDeadlineExceeded, bounded, deadline
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._deadline import remaining
from stream_deadline._reader import Reader
from tests.stream_deadline.sources import Source, elapsed, virtually

SOON = 0.05  # what "on time" means


async def drain(stream: AsyncIterator[int], pause: float = 0.0) -> list[int]:
    got = []
    async for item in stream:
        got.append(item)
        if pause:
            await asyncio.sleep(pause)
    return got


async def ends_at(
    limit: float, stream: AsyncIterator[int], pause: float = 0.0
) -> StreamDeadlineExceeded:
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await drain(stream, pause)
    assert limit <= elapsed() <= limit + SOON
    return caught.value


@virtually
async def test_a_finite_stream_comes_through_untouched() -> None:
    source = Source(ends=40)
    assert await drain(bounded(source, 45)) == list(range(40))
    assert source.closed == 1


@virtually
async def test_an_endless_stream_ends_at_the_deadline() -> None:
    source = Source(every=0.4)
    error = await ends_at(45, bounded(source, 45))
    assert (error.bound, error.limit, error.chunks) == ("timeout", 45, 112)
    assert source.closed == 1


@virtually
async def test_a_stall_before_the_first_item_ends_at_the_deadline() -> None:
    await ends_at(45, bounded(Source(stalls=0), 45))


@virtually
async def test_a_stall_in_the_middle_ends_at_the_deadline() -> None:
    error = await ends_at(45, bounded(Source(stalls=7), 45))
    assert error.chunks == 7


@virtually
async def test_a_source_that_never_yields_to_the_loop_ends_at_the_deadline() -> None:
    """Every item is ready, so no pull waits and no cancellation could reach one."""
    await ends_at(45, bounded(Source(every=0), 45), pause=0.03)


@virtually
async def test_a_slow_consumer_gets_the_error_with_its_first_pull_after_the_deadline_and_the_source_is_closed_before() -> (
    None
):
    source = Source(every=1)
    stream = bounded(source, 45)
    assert await anext(stream) == 0
    await asyncio.sleep(100)
    assert source.closed_at is not None
    assert 45 <= source.closed_at <= 45 + SOON
    with pytest.raises(StreamDeadlineExceeded):
        await anext(stream)


@virtually
async def test_a_consumer_that_never_pulls_at_all_does_not_hold_the_source() -> None:
    source = Source()
    stream = bounded(source, 45)
    await asyncio.sleep(46)
    assert source.closed_at == 45
    await stream.aclose()


@virtually
async def test_it_does_not_matter_which_task_pulls() -> None:
    stream = bounded(Source(every=0.4), 45)

    async def in_tasks() -> AsyncIterator[int]:
        while True:
            yield await asyncio.create_task(anext(stream))

    await ends_at(45, in_tasks())


@virtually
async def test_the_clock_starts_when_bounded_is_called() -> None:
    stream = bounded(Source(), 45)
    await asyncio.sleep(44)
    await ends_at(45, stream)


@virtually
async def test_an_item_that_comes_exactly_at_the_deadline_is_late() -> None:
    error = await ends_at(45, bounded(Source(every=1), 45))
    assert error.chunks <= 45
    assert elapsed() >= 45


@virtually
async def test_a_stream_that_ends_before_the_deadline_raises_no_error_when_it_is_read_late() -> (
    None
):
    stream = bounded(Source(every=1, ends=3), 45)
    assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
    await asyncio.sleep(100)
    assert await drain(stream) == []


@virtually
async def test_an_error_of_the_source_comes_after_the_items_before_it() -> None:
    stream = bounded(Source(every=1, fails=3), 45)
    assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ConnectionResetError):
        await anext(stream)
    assert await drain(stream) == []


@virtually
async def test_after_the_error_the_stream_is_over() -> None:
    stream = bounded(Source(), 3)
    await ends_at(3, stream)
    assert await drain(stream) == []


@virtually
async def test_none_means_no_bound() -> None:
    assert len(await drain(bounded(Source(every=100, ends=1000), None))) == 1000


@virtually
async def test_leaving_the_loop_closes_the_source() -> None:
    source = Source()
    async with bounded(source, 45) as stream:
        async for _ in stream:
            break
    assert source.closed == 1
    assert elapsed() == 1


@virtually
async def test_dropping_the_last_reference_closes_the_source() -> None:
    source = Source()
    stream = bounded(source, 45)
    await anext(stream)
    del stream
    gc.collect()
    await asyncio.sleep(SOON)
    assert source.closed == 1


@virtually
async def test_closing_before_the_first_pull_closes_the_source() -> None:
    source = Source()
    await bounded(source, 45).aclose()
    assert source.closed == 1


@virtually
async def test_closing_again_does_nothing() -> None:
    source = Source()
    stream = bounded(source, 45)
    await stream.aclose()
    await stream.aclose()
    assert source.closed == 1


@virtually
async def test_another_task_can_close_it_while_a_pull_waits() -> None:
    source = Source(stalls=0)
    stream = bounded(source, 45)
    pull = asyncio.ensure_future(drain(stream))
    await asyncio.sleep(1)
    await stream.aclose()
    assert await pull == []
    assert source.closed == 1


@virtually
async def test_two_tasks_cannot_pull_at_once() -> None:
    stream = bounded(Source(), 45)
    first = asyncio.ensure_future(drain(stream))
    await asyncio.sleep(0.5)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(stream)
    await stream.aclose()
    assert await first == []


@pytest.mark.parametrize("when", [0.0, 10.0, 45.0 - 1e-6, 45.0])
@virtually
async def test_a_cancellation_stays_a_cancellation(when: float) -> None:
    source = Source(every=0.4)
    task = asyncio.ensure_future(drain(bounded(source, 45)))
    asyncio.get_running_loop().call_at(when, task.cancel)
    await asyncio.wait({task})
    assert task.cancelled()
    assert task.cancelling() == 1
    assert source.closed == 1


@virtually
async def test_a_cancellation_after_the_time_out_is_not_affected_by_it() -> None:
    async def consumer() -> None:
        await ends_at(45, bounded(Source(), 45))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(100)

    task = asyncio.ensure_future(consumer())
    await asyncio.sleep(50)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@virtually
async def test_a_second_cancellation_does_not_interrupt_or_repeat_the_clean_up() -> None:
    source = Source(closing=0.01)
    task = asyncio.ensure_future(drain(bounded(source, 45)))
    await asyncio.sleep(10)
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0.001)
    await asyncio.wait({task})
    assert task.cancelled()
    assert source.closed == 1
    assert source.closed_at == pytest.approx(10.01)


@virtually
async def test_a_cancellation_during_the_clean_up_after_a_time_out_wins() -> None:
    task = asyncio.ensure_future(drain(bounded(Source(closing=0.02), 45)))
    asyncio.get_running_loop().call_at(45.01, task.cancel)
    await asyncio.wait({task})
    assert task.cancelled()


@virtually
async def test_anyios_repeated_cancellations_do_not_interrupt_the_clean_up() -> None:
    source = Source(closing=0.01)
    with anyio.move_on_after(10) as scope:
        await drain(bounded(source, 45))
    assert scope.cancelled_caught
    assert source.closed_at == pytest.approx(10.01)


@virtually
async def test_a_shorter_scope_outside_keeps_its_own_error() -> None:
    source = Source()
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(10):
            await drain(bounded(source, 45))
    assert type(caught.value) is TimeoutError
    assert source.closed == 1


@virtually
async def test_a_slow_clean_up_does_not_delay_the_error() -> None:
    source = Source(closing=0.2)
    await ends_at(45, bounded(source, 45))
    await asyncio.sleep(1)
    assert source.closed_at == pytest.approx(45.2)


@virtually
async def test_a_clean_up_that_hangs_is_cut_short() -> None:
    source = Source(closing=1e9)
    await ends_at(45, bounded(source, 45))
    await asyncio.sleep(1)  # after which no task may be left
    assert source.closed == 1


@virtually
async def test_the_connection_is_shut_down_even_if_the_clean_up_fails() -> None:
    near, far = socket.socketpair()
    source = Source(closing=1e9)
    stream = SimpleNamespace(get_extra_info={"socket": near}.get)
    source.response = SimpleNamespace(is_closed=False, extensions={"network_stream": stream})  # type: ignore[attr-defined]
    with near, far:
        far.setblocking(False)
        await ends_at(45, bounded(source, 45))
        assert far.recv(1) == b""
        await asyncio.sleep(1)


@virtually
async def test_a_source_that_swallows_its_cancellation_does_not_delay_the_error() -> None:
    """As `asyncio.wait_for` on Python 3.11, if its result comes in the same turn (cpython#86296)."""
    source = Source(every=1e9, first=1, deaf=1)
    await ends_at(45, bounded(source, 45))
    await asyncio.sleep(1)
    assert source.closed == 1


@virtually
async def test_a_source_that_swallows_its_cancellation_and_stalls_again_is_cancelled_again() -> (
    None
):
    source = Source(every=1e9, first=1, deaf=1)

    async def deaf() -> AsyncIterator[int]:
        async for item in source:
            if (
                item != 1
            ):  # the item that comes of the swallowed cancellation goes nowhere, and the source waits on
                yield item

    await ends_at(45, bounded(deaf(), 45))
    await asyncio.sleep(5)
    assert source.cancelled == 2


@virtually
async def test_a_source_that_swallows_every_cancellation_is_given_up_in_the_end() -> None:
    source = Source(every=1e9, first=1, deaf=10**6)

    async def deaf() -> AsyncIterator[int]:
        async for item in source:
            if source.cancelled == 60:
                raise EOFError  # so that no task is left after the test
            if not source.cancelled:
                yield item

    stream = bounded(deaf(), 45)
    await ends_at(45, stream)
    await asyncio.sleep(60)
    assert source.cancelled == 40
    task = stream._reader._task
    while task is not None and not task.done():
        task.cancel()
        await asyncio.sleep(0)


@virtually
async def test_the_end_is_the_sources_own_and_not_that_of_its_clean_up() -> None:
    class EndsLater(Source):
        async def __anext__(self) -> int:
            if len(self.sent) == 2:
                await asyncio.sleep(1)
            return await super().__anext__()

    source = EndsLater(ends=2, closing=3)
    stream = bounded(source, 45)
    assert [item async for item in stream] == [0, 1]
    assert elapsed() == pytest.approx(3, abs=0.1)
    await asyncio.sleep(4)
    assert source.closed_at == pytest.approx(6)


@virtually
async def test_a_clean_up_after_a_whole_answer_has_five_seconds() -> None:
    ends: list[float] = []

    class Slow(Source):
        async def aclose(self) -> None:
            try:
                await asyncio.sleep(1e9)
            finally:
                ends.append(elapsed())

    stream = bounded(Slow(ends=2), 45)
    assert [item async for item in stream] == [0, 1]
    await asyncio.sleep(10)
    assert ends == [pytest.approx(2 + 5)]


@virtually
async def test_the_library_logs_a_failed_interrupt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(in_use: bool) -> None:
        raise RuntimeError("no socket")

    budget = Budget(Bounds(45), asyncio.get_running_loop().time)
    reader = Reader(Source(), budget, NullAccumulator(), fail, None)
    await asyncio.sleep(1)
    reader.stop()
    await reader.settle()
    [record] = caplog.records
    assert (record.name, record.levelname) == ("stream_deadline", "ERROR")


@virtually
async def test_a_source_is_cancelled_four_times_a_second_for_ten_seconds() -> None:
    cancelled: list[float] = []

    async def deaf() -> AsyncIterator[int]:
        while len(cancelled) < 40:
            try:
                await asyncio.sleep(1e9)
            except asyncio.CancelledError:
                cancelled.append(elapsed())
        yield 0

    await ends_at(45, bounded(deaf(), 45))
    await asyncio.sleep(10)
    # Old versions of the virtual clock may fire a timer one step early.
    assert cancelled == pytest.approx([45 + number / 4 for number in range(40)], abs=0.26)


@virtually
async def test_two_streams_at_once_have_a_deadline_each() -> None:
    first, second = bounded(Source(), 10), bounded(Source(), 20)
    with pytest.raises(StreamDeadlineExceeded):
        await drain(first)
    assert elapsed() < 10 + SOON
    with pytest.raises(StreamDeadlineExceeded):
        await drain(second)
    assert elapsed() < 20 + SOON


@virtually
async def test_the_reader_is_only_a_few_items_ahead() -> None:
    source = Source(every=0)
    stream = bounded(source, 45)
    await anext(stream)
    await asyncio.sleep(1)
    assert len(source.sent) <= 1 + 16
    await stream.aclose()


@virtually
async def test_the_source_sees_the_callers_context_variables() -> None:
    async def source() -> AsyncIterator[float]:
        yield Deadline.after(0).at
        yield remaining()

    with deadline(30):
        stream = bounded(source(), 45)
    assert [item async for item in stream][1] == 30


# The three bounds


@virtually
async def test_the_first_item_has_a_bound_of_its_own() -> None:
    error = await ends_at(5, bounded(Source(first=6), 45, first_chunk_timeout=5))
    assert (error.bound, error.limit) == ("first_chunk_timeout", 5)


@virtually
async def test_the_bound_of_the_first_item_ends_with_it() -> None:
    assert (
        len(await drain(bounded(Source(first=4, every=10, ends=4), 45, first_chunk_timeout=5))) == 4
    )


@virtually
async def test_silence_between_items_has_a_bound_of_its_own() -> None:
    error = await ends_at(3 + 2, bounded(Source(every=1, stalls=3), 45, idle_timeout=2))
    assert (error.bound, error.limit, error.chunks) == ("idle_timeout", 2, 3)


@virtually
async def test_the_wait_for_the_first_item_is_not_idleness() -> None:
    assert len(await drain(bounded(Source(first=40, every=1, ends=3), 45, idle_timeout=2))) == 3


@virtually
async def test_a_busy_consumer_does_not_count_as_silence_of_the_server() -> None:
    source = Source(every=0.5, ends=60)
    assert len(await drain(bounded(source, 1000, idle_timeout=2), pause=10)) == 60


@virtually
async def test_the_total_bound_holds_beside_the_others() -> None:
    error = await ends_at(45, bounded(Source(every=1), 45, first_chunk_timeout=10, idle_timeout=2))
    assert error.bound == "timeout"


@virtually
async def test_progress_without_an_item_ends_the_silence_of_a_source() -> None:
    stream = bounded(Source(first=1e9), 45, first_chunk_timeout=10, idle_timeout=4)
    note_progress = stream.note_progress
    asyncio.get_running_loop().call_at(8, note_progress)
    error = await ends_at(12, stream)
    assert error.bound == "idle_timeout"
    del stream, error
    note_progress()


@virtually
async def test_a_deadline_that_is_handed_over_may_have_parts_beside_it() -> None:
    until = Deadline.after(20)
    error = await ends_at(2, bounded(Source(first=5), until, first_chunk_timeout=2))
    assert error.bound == "first_chunk_timeout"
    error = await ends_at(9, bounded(Source(stalls=3), until, idle_timeout=4))
    assert error.bound == "idle_timeout"


@virtually
async def test_a_closed_stream_is_over_though_its_source_had_failed() -> None:
    stream = bounded(Source(every=1, fails=3), 45)
    assert await anext(stream) == 0
    await asyncio.sleep(10)
    await stream.aclose()
    assert await drain(stream) == []


@virtually
async def test_a_pull_that_was_cancelled_leaves_a_stream_that_is_over() -> None:
    stream = bounded(Source(every=1), 45)
    pull = asyncio.ensure_future(drain(stream))
    await asyncio.sleep(2.5)
    pull.cancel()
    await asyncio.wait({pull})
    assert pull.cancelled()
    assert await drain(stream) == []


@virtually
async def test_an_error_that_was_handled_is_freed_at_once() -> None:
    async def read() -> weakref.ref[StreamDeadlineExceeded]:
        try:
            await drain(bounded(Source(), 3))
        except StreamDeadlineExceeded as error:
            return weakref.ref(error)
        raise AssertionError("it never ended")

    gc.disable()
    try:
        assert (await read())() is None, "only the garbage collector would find it"
    finally:
        gc.enable()


# The ambient budget


@virtually
async def test_an_ambient_deadline_bounds_a_stream_that_has_none() -> None:
    with deadline(30):
        error = await ends_at(30, bounded(Source()))
    assert (error.bound, error.limit) == ("deadline", 30)


@virtually
async def test_an_ambient_deadline_can_be_shortened_but_not_extended() -> None:
    with deadline(30):
        await asyncio.sleep(10)
        assert (await ends_at(30, bounded(Source(), 45))).bound == "deadline"
    with deadline(30):
        assert (await ends_at(45, bounded(Source(), 15))).bound == "timeout"
    with deadline(30), deadline(60):
        assert (await ends_at(75, bounded(Source()))).limit == 30


@virtually
async def test_an_ambient_deadline_crosses_into_tasks() -> None:
    with deadline(30):
        task = asyncio.ensure_future(ends_at(30, bounded(Source())))
    await task


@virtually
async def test_a_deadline_that_has_passed_ends_the_stream_at_once() -> None:
    source = Source()
    with deadline(0):
        await ends_at(0, bounded(source))
    assert source.sent == []


@virtually
async def test_a_deadline_can_be_handed_over() -> None:
    until = Deadline.after(20)
    await asyncio.sleep(5)
    await ends_at(20, bounded(Source(), until))


# Bad input


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, True, "45"])
@pytest.mark.parametrize("name", ["timeout", "first_chunk_timeout", "idle_timeout"])
@virtually
async def test_a_bound_that_is_not_a_positive_number_of_seconds_is_refused(
    name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=name):
        bounded(Source(), **{name: value})


@virtually
async def test_a_part_that_is_longer_than_the_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="could never act"):
        bounded(Source(), 10, idle_timeout=11)


def test_without_an_event_loop_there_is_no_stream() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        bounded(Source(), 45)


@virtually
async def test_an_object_that_is_not_iterable_is_refused_at_the_first_pull() -> None:
    stream: BoundedStream[Any] = bounded(3, 45)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await anext(stream)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has eager tasks since 3.12")
@pytest.mark.parametrize("fails", [False, True])
def test_a_reader_whose_task_begins_at_once_reads_a_source_that_never_waits(fails: bool) -> None:
    async def source() -> AsyncIterator[int]:
        for each in range(40):
            yield each
        if fails:
            raise KeyError("the source's")

    async def read() -> list[int]:
        factory = getattr(asyncio, "eager_task_factory")  # noqa: B009 - not on Python 3.11
        asyncio.get_running_loop().set_task_factory(factory)
        found = []
        with contextlib.suppress(KeyError):
            async for each in bounded(source(), 5):
                found.append(each)
        return found

    assert asyncio.run(read()) == list(range(40))
