"""Late timers, busy consumers, and the items before an error, on a virtual clock."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from stream_deadline import AnswerCutShort, StreamDeadlineExceeded, bounded, deadline, no_deadline
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded import BoundedStream
from stream_deadline._budget import MOST_FORGIVEN, STOOD_STILL, Bounds, Budget
from stream_deadline._deadline import Deadline
from tests.stream_deadline.sources import Source, elapsed, virtually
from tests.stream_deadline.still_clock import Clock


async def three_then_silence() -> AsyncIterator[int]:
    for item in range(3):
        yield item
    await asyncio.sleep(1000)


async def take(got: list[int], stream: AsyncIterator[int], pause: float = 0.0) -> None:
    """Pull everything, and be busy with each item for `pause` seconds."""
    async for item in stream:
        got.append(item)
        await asyncio.sleep(pause)


@virtually
async def test_items_that_had_arrived_are_handed_over_before_an_idle_error() -> None:
    got: list[int] = []
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await take(
            got, bounded(three_then_silence(), 60, idle_timeout=2), 1.5
        )  # while the third waits, the bound is reached
    assert (got, caught.value.bound, caught.value.chunks) == ([0, 1, 2], "idle_timeout", 3)


@virtually
async def test_no_item_is_handed_over_after_the_deadline_and_the_error_names_the_first_bound() -> (
    None
):
    got: list[int] = []
    with pytest.raises(StreamDeadlineExceeded) as caught:
        await take(got, bounded(three_then_silence(), 4, idle_timeout=2), 3)
    assert (got, caught.value.bound, caught.value.chunks) == ([0, 1], "idle_timeout", 2)


def test_no_ready_item_is_handed_over_after_a_consumer_has_blocked_the_loop() -> None:
    """No timer gets a turn while items are ready, so each pull reads the clock."""

    async def pull() -> None:
        stream = bounded(Source(every=0), 0.2)
        await anext(stream)
        await asyncio.sleep(0)
        time.sleep(0.25)  # noqa: ASYNC251  the loop stands still
        with pytest.raises(StreamDeadlineExceeded):
            await anext(stream)

    asyncio.run(pull())


@virtually
async def test_the_source_is_closed_at_the_bound_and_not_when_the_last_items_are_taken() -> None:
    source = Source(every=0.0, stalls=3)
    stream = bounded(source, 60, idle_timeout=2)
    assert await anext(stream) == 0
    await asyncio.sleep(10)
    assert source.closed_at is not None
    assert source.closed_at < 2.5
    assert [await anext(stream), await anext(stream)] == [1, 2]
    with pytest.raises(StreamDeadlineExceeded):
        await anext(stream)


@virtually
async def test_a_full_read_ahead_does_not_count_as_silence_of_the_server() -> None:
    got: list[int] = []
    await take(got, bounded(Source(every=0.0, ends=40), 600, idle_timeout=2), 3)
    assert got == list(range(40))


def test_a_late_timer_postpones_a_bound_once_per_silence_and_briefly() -> None:
    clock = Clock(0.0)
    budget = Budget(Bounds(60, first_chunk_timeout=1), clock)
    clock.time = 3.0
    assert budget.forgive(2.0)
    assert budget.due <= 1.0 + MOST_FORGIVEN + STOOD_STILL
    assert not budget.forgive(2.0), "a loop that is late for good would never end"


def test_an_item_starts_a_new_silence() -> None:
    clock = Clock(0.0)
    budget = Budget(Bounds(60, idle_timeout=1), clock)
    budget.note_progress()
    assert budget.forgive(0.5)
    budget.note_progress()
    assert budget.forgive(0.5)


def test_the_deadline_itself_is_never_postponed() -> None:
    clock = Clock(0.0)
    budget = Budget(Bounds(1), clock)
    clock.time = 3.0
    assert not budget.forgive(2.0)


def test_a_loop_whose_turns_are_all_late_still_reaches_the_bound() -> None:
    async def busy() -> None:
        while True:
            time.sleep(0.03)  # noqa: ASYNC251  overload: every timer is late
            await asyncio.sleep(0)

    async def run() -> StreamDeadlineExceeded:
        beside = asyncio.create_task(busy())
        try:
            async for _ in bounded(
                three_then_silence(), 30, first_chunk_timeout=5, idle_timeout=0.3
            ):
                pass
        except StreamDeadlineExceeded as error:
            return error
        finally:
            beside.cancel()
        raise AssertionError("it never ended")

    error = asyncio.run(run())
    assert error.bound == "idle_timeout"
    assert error.elapsed < 5


@virtually
async def test_a_source_that_hangs_after_its_end_does_not_spoil_a_whole_answer() -> None:
    class Hangs:
        def __init__(self) -> None:
            self.left = [1, 2, 3]

        def __aiter__(self) -> "Hangs":
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

        async def aclose(self) -> None:
            await asyncio.sleep(10_000)

    stream = bounded(Hangs(), 2)
    assert [item async for item in stream] == [1, 2, 3]
    assert elapsed() < 0.1
    await asyncio.sleep(20)
    assert len(asyncio.all_tasks()) == 1, "by then its clean-up has been ended"


@virtually
async def test_an_incomplete_stream_ends_in_an_error_with_the_items_so_far() -> None:
    class Half:
        whole = False
        errors_of_halves: ClassVar[tuple[type[Exception], ...]] = ()

        def add(self, item: object) -> bool:
            return True

        def partial(self) -> str:
            return "the half"

    budget = Budget(Bounds(60), asyncio.get_running_loop().time)
    stream = BoundedStream(Source(ends=2), budget, Half(), lambda in_use: None)
    got: list[int] = []
    with pytest.raises(AnswerCutShort) as caught:
        await take(got, stream)
    assert (got, caught.value.chunks, caught.value.partial) == ([0, 1], 2, "the half")


@virtually
async def test_the_partial_answer_is_made_when_it_is_read_and_may_fail() -> None:
    asked = []

    class Awkward(NullAccumulator):
        def partial(self) -> None:
            asked.append(elapsed())
            raise ValueError("these do not add up")

    source = Source(every=0.5)
    budget = Budget(Bounds(2), asyncio.get_running_loop().time)
    with pytest.raises(StreamDeadlineExceeded) as caught:
        async for _ in BoundedStream(source, budget, Awkward(), lambda in_use: None):
            pass
    assert source.closed
    assert not asked
    assert caught.value.partial is None
    assert asked


@virtually
async def test_a_lifted_deadline_ends_nothing() -> None:
    with deadline(3) as due:
        stream = bounded(Source(every=1.0, ends=6))
    assert await anext(stream) == 0
    due.lift()
    assert [item async for item in stream] == [1, 2, 3, 4, 5]
    assert due.remaining() > 1e9


@virtually
async def test_lifting_a_deadline_keeps_the_calls_own_bound() -> None:
    with deadline(3) as due:
        stream = bounded(Source(every=1.0), 5)
    due.lift()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        async for _ in stream:
            pass
    assert caught.value.bound == "timeout"
    assert 5 <= elapsed() < 5.1


@virtually
async def test_a_no_deadline_block_lifts_the_outer_deadline_until_its_end() -> None:
    with deadline(3):
        with no_deadline():
            assert [item async for item in bounded(Source(every=1.0, ends=6))] == list(range(6))
            with deadline(2), pytest.raises(StreamDeadlineExceeded):
                async for _ in bounded(Source(every=1.0)):
                    pass
        with pytest.raises(StreamDeadlineExceeded):
            async for _ in bounded(Source(every=1.0)):
                pass


def test_a_deadline_is_entered_once_and_shows_its_state() -> None:
    block = deadline(3)
    with block, pytest.raises(RuntimeError, match="entered already"), block:
        pass
    with pytest.raises(RuntimeError, match="left already"), block:
        pass


def test_a_deadline_shows_what_is_left() -> None:
    assert "of 3 s" in repr(Deadline.after(3))


@virtually
async def test_an_inner_deadline_holds_when_the_nearer_one_around_it_is_lifted() -> None:
    with deadline(3) as outer, deadline(5):
        stream = bounded(Source(every=1.0))
    outer.lift()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        async for _ in stream:
            pass
    assert (caught.value.bound, caught.value.limit) == ("deadline", 5)


@virtually
async def test_an_interrupt_that_fails_stops_neither_the_error_nor_the_other_interrupts() -> None:
    def fails(in_use: bool) -> None:
        raise AttributeError("it shows no socket")

    source = Source(stalls=1)
    stream = BoundedStream(
        source, Budget(Bounds(2), asyncio.get_running_loop().time), NullAccumulator(), fails
    )
    assert await anext(stream) == 0
    with pytest.raises(StreamDeadlineExceeded):
        await anext(stream)
    assert source.closed
    await BoundedStream(
        Source(stalls=0),
        Budget(Bounds(2), asyncio.get_running_loop().time),
        NullAccumulator(),
        fails,
    ).aclose()
