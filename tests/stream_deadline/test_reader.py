"""The task that reads a stream leaves neither timers nor calls in its event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import looptime
import pytest

from stream_deadline import bounded
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded import BoundedStream
from stream_deadline._budget import Bounds, Budget
from stream_deadline._reader import Reader

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
        await asyncio.sleep(0.02)  # the source is closed a turn later
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
        await asyncio.sleep(0.01)
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
