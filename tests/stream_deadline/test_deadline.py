"""`deadline` as a decorator, in `async with`, and with `cancel=True`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypedDict

import looptime
import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph

from stream_deadline import StreamDeadlineExceeded, bounded, deadline
from stream_deadline._deadline import remaining


def in_virtual_time(play: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop whose clock jumps to the next timer."""
    loop = asyncio.new_event_loop()
    assert isinstance(loop, asyncio.BaseEventLoop)
    loop = looptime.patch_event_loop(loop)
    try:
        loop.run_until_complete(play)
    finally:
        loop.close()


async def pull_each_in_a_task(stream: AsyncIterator[int], came: list[int]) -> None:
    """Pull a stream as a chain does."""

    async def pull() -> int:
        return await anext(stream)

    while True:
        came.append(await asyncio.create_task(pull()))


class State(TypedDict):
    x: int


class TestDecorator:
    def test_each_call_has_the_whole_time(self) -> None:
        left = []

        @deadline(30)
        def work(name: str) -> str:
            left.append(remaining())
            return name

        assert (work("a"), work("b")) == ("a", "b")
        assert all(29 < each <= 30 for each in left)
        assert remaining() > 1e6

    def test_it_bounds_an_asynchronous_function(self) -> None:
        @deadline(30)
        async def work() -> float:
            await asyncio.sleep(10)
            return remaining()

        async def play() -> None:
            assert await work() == pytest.approx(20, abs=0.1)
            assert await work() == pytest.approx(20, abs=0.1)

        in_virtual_time(play())

    def test_it_keeps_the_functions_name_and_signature(self) -> None:
        @deadline(30)
        async def work(question: str) -> str:
            """Answer."""
            return question

        assert (work.__name__, work.__doc__) == ("work", "Answer.")

    def test_a_generator_is_refused_in_one_sentence(self) -> None:
        def items() -> Iterator[int]:
            yield 1

        async def async_items() -> AsyncIterator[int]:
            yield 1

        for each in (items, async_items):
            with pytest.raises(TypeError, match=f"{each.__name__} is a generator"):
                deadline(30)(each)

    def test_a_function_that_cannot_be_cancelled_is_refused(self) -> None:
        with pytest.raises(TypeError, match="is not declared with `async def`"):
            deadline(30, cancel=True)(lambda: None)

    def test_a_node_of_a_graph_has_its_own_time(self) -> None:
        left: dict[str, float] = {}

        @deadline(5)
        def first(state: State) -> State:
            left["first"] = remaining()
            return state

        @deadline(60)
        async def second(state: State) -> State:
            left["second"] = remaining()
            return state

        async def play() -> None:
            graph = StateGraph(State)
            graph.add_node("first", RunnableLambda(first))
            graph.add_node("second", second)
            graph.add_edge(START, "first")
            graph.add_edge("first", "second")
            graph.add_edge("second", END)
            with deadline(20):  # of the whole graph
                await graph.compile().ainvoke({"x": 1})

        asyncio.run(play())
        assert 0 < left["first"] <= 5
        assert 5 < left["second"] <= 20


class TestCancel:
    def test_everything_that_is_awaited_ends_at_the_deadline(self) -> None:
        async def play() -> None:
            loop = asyncio.get_running_loop()
            started = loop.time()
            with pytest.raises(StreamDeadlineExceeded) as caught:
                async with deadline(5, cancel=True):
                    await asyncio.sleep(100)
            assert loop.time() - started == pytest.approx(5, abs=0.1)
            assert (caught.value.bound, caught.value.limit) == ("deadline", 5)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

        in_virtual_time(play())

    def test_without_it_the_block_is_not_interrupted(self) -> None:
        async def play() -> None:
            async with deadline(5) as due:
                await asyncio.sleep(100)
                assert due.expired

        in_virtual_time(play())

    def test_a_block_that_ends_in_time_is_left_alone(self) -> None:
        async def play() -> None:
            async with deadline(5, cancel=True):
                await asyncio.sleep(1)
            await asyncio.sleep(100)

        in_virtual_time(play())

    def test_an_outer_deadline_that_comes_sooner_cancels_it(self) -> None:
        async def play() -> None:
            with deadline(2):
                with pytest.raises(StreamDeadlineExceeded) as caught:
                    async with deadline(50, cancel=True):
                        await asyncio.sleep(100)
                assert caught.value.limit == 2

        in_virtual_time(play())

    def test_a_deadline_that_is_lifted_cancels_nothing(self) -> None:
        async def play() -> None:
            async with deadline(5, cancel=True) as due:
                due.lift()
                await asyncio.sleep(100)

        in_virtual_time(play())

    @pytest.mark.parametrize("moment", [1, 5])
    def test_a_cancellation_from_outside_wins(self, moment: float) -> None:
        async def work() -> None:
            async with deadline(5, cancel=True):
                await asyncio.sleep(100)

        async def play() -> None:
            task = asyncio.create_task(work())
            asyncio.get_running_loop().call_later(moment, task.cancel)
            try:
                await task
            except StreamDeadlineExceeded:
                assert moment == 5, "at the same moment the deadline may have been first"
            except asyncio.CancelledError:
                assert task.cancelled()
            else:
                pytest.fail("neither of them ended it")

        in_virtual_time(play())

    def test_an_error_of_the_block_stays_that_error(self) -> None:
        @deadline(5, cancel=True)
        async def work() -> None:
            await asyncio.sleep(1)
            raise KeyError

        async def play() -> None:
            with pytest.raises(KeyError):
                await work()

        in_virtual_time(play())

    def test_a_plain_with_is_refused(self) -> None:
        with pytest.raises(TypeError, match="needs `async with`"), deadline(5, cancel=True):
            pass

    def test_a_deadline_across_a_yield_is_an_error(self, caplog: pytest.LogCaptureFixture) -> None:
        async def items() -> AsyncIterator[int]:
            async with deadline(5, cancel=True):
                for number in range(20):
                    yield number  # noqa: ASYNC119
                    await asyncio.sleep(1)

        async def play() -> None:
            stream = items()
            with pytest.raises(RuntimeError, match="do not hold it across a yield"):
                await pull_each_in_a_task(stream, [])

        with caplog.at_level(logging.WARNING, "stream_deadline"):
            in_virtual_time(play())
        assert "Bound the stream with `bounded`" in caplog.text

    def test_the_recipe_for_a_stream_holds_in_a_task_for_each_item(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(200):
                yield number
                await asyncio.sleep(1)

        async def play() -> None:
            stream = bounded(items(), 5)
            came: list[int] = []
            with pytest.raises(StreamDeadlineExceeded):
                await pull_each_in_a_task(stream, came)
            assert len(came) in (5, 6)

        in_virtual_time(play())
