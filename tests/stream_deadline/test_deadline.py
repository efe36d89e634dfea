"""`deadline` as a decorator, in `async with`, and with `cancel=True`."""

import asyncio
import contextlib
import functools
import gc
import logging
import math
import os
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, TypedDict
from unittest.mock import AsyncMock, MagicMock, Mock

import looptime
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph

from stream_deadline import (
    Deadline,
    Expiry,
    StreamDeadlineExceeded,
    _clock,
    bounded,
    bounded_sync,
    deadline,
    no_deadline,
)
from stream_deadline._call_group import CallGroup, current_group
from stream_deadline._deadline import Cancellation, ambient, clock_of, holding, now, remaining
from stream_deadline.testing import BabblingChatModel, VirtualClock, virtual_clock
from tests.stream_deadline.sources import elapsed
from tests.stream_deadline.still_clock import machine_stands_still


def in_virtual_time(play: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop whose clock jumps to the next timer."""
    loop = asyncio.new_event_loop()
    assert isinstance(loop, asyncio.BaseEventLoop)
    loop = looptime.patch_event_loop(loop)
    try:
        loop.run_until_complete(play)
    finally:
        loop.close()


@contextmanager
def warnings_from_now_on() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings, and none of what earlier tests have left in cycles of references."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


async def pull_each_in_a_task(stream: AsyncIterator[int], came: list[int]) -> None:
    """Pull a stream as a chain does."""

    async def pull() -> int:
        return await anext(stream)

    while True:
        came.append(await asyncio.create_task(pull()))


class State(TypedDict):
    x: int


async def work_of(name: str, length: float = 0) -> tuple[str, float]:
    """Work, and tell how much time is left for it."""
    left = remaining()
    await asyncio.sleep(length)
    return name, left


class Awaitable:
    """An object that can be awaited and is no coroutine."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __await__(self) -> Generator[Any, None, tuple[str, float]]:
        return work_of(self._name).__await__()


class Worker:
    """An object that is called as an asynchronous function."""

    async def __call__(self, name: str, length: float = 0) -> tuple[str, float]:
        return await work_of(name, length)


class MethodWorker(Worker):
    """One that is a method where a class has it as an attribute."""

    def __get__(self, owner: object, kind: type) -> "MethodWorker":
        return self


WAYS: dict[str, Callable[..., Any]] = {
    "async def": work_of,
    "coroutine": lambda name: work_of(name),
    "static method": staticmethod(work_of),
    "mock": AsyncMock(side_effect=work_of),
    "object": Worker(),
    "object with __get__": MethodWorker(),
    "partial": functools.partial(work_of),
    "partial of an object": functools.partial(Worker()),
}
"""What gives something to be awaited when it is called."""
BEGUN_BY_THE_CALL = ("coroutine",)
"""What is itself run by the call; the others run when they are awaited."""


async def endless() -> AsyncIterator[int]:
    while True:
        await asyncio.sleep(1)
        yield 1


class Items:
    """An asynchronous iterator that is no generator."""

    def __aiter__(self) -> "Items":
        return self

    async def __anext__(self) -> int:
        return 1


BABBLER = BabblingChatModel()
STREAMS: dict[str, Callable[[], Any]] = {
    "generator": lambda: (each for each in [1]),
    "asynchronous generator": endless,
    "asynchronous iterator": Items,
    "stream": lambda: BABBLER.stream("Why?"),
    "astream": lambda: BABBLER.astream("Why?"),
    "chain": lambda: (BABBLER | StrOutputParser()).astream("Why?"),
    "events": lambda: BABBLER.astream_events("Why?", version="v2"),
}


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

        class Stream:
            async def __call__(self) -> AsyncIterator[int]:
                yield 1

        given: list[Any] = [items, async_items]
        for each in given:
            for way in (each, functools.partial(each), staticmethod(each)):
                with pytest.raises(TypeError, match=f"{each.__name__} is a generator"):
                    deadline(30)(way)
        with pytest.raises(TypeError, match="Stream is a generator"):
            deadline(30)(Stream())

    def test_a_function_that_cannot_be_cancelled_is_refused(self) -> None:
        class Plain:
            def __call__(self) -> None: ...

        given: list[Any] = [lambda: None, Plain(), functools.partial(Plain())]
        for each in given:
            with pytest.raises(TypeError, match="is not declared with `async def`"):
                deadline(30, cancel=True)(each)

    @pytest.mark.parametrize("way", WAYS)
    def test_work_that_is_awaited_later_has_what_the_call_has_left(self, way: str) -> None:
        async def play() -> None:
            awaited = deadline(30)(WAYS[way])("a")
            assert remaining() == math.inf
            await asyncio.sleep(4)
            with deadline(100):
                name, left = await awaited
            assert (name, left) == ("a", 26 if way in BEGUN_BY_THE_CALL else 30)
            assert remaining() == math.inf

        in_virtual_time(play())

    @pytest.mark.parametrize(
        "way", ["object", "object with __get__", "partial", "partial of an object", "static method"]
    )
    def test_work_that_is_declared_with_async_def_is_cancelled_however_it_is_given(
        self, way: str
    ) -> None:
        async def play() -> None:
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await deadline(30, cancel=True)(WAYS[way])("a", 100)
            assert caught.value.elapsed == pytest.approx(30)

        in_virtual_time(play())

    def test_an_object_that_is_awaited_later_is_refused(self) -> None:
        def ask(name: str) -> Awaitable:
            return Awaitable(name)

        given: list[Any] = [ask, Awaitable]
        for each in given:
            with pytest.raises(TypeError, match=r"object of Awaitable.* with `async def`"):
                deadline(30)(each)("a")
        assert ambient() == ()

    def test_a_block_that_runs_later_is_refused(self) -> None:
        @contextmanager
        def block() -> Iterator[None]:
            yield

        @asynccontextmanager
        async def async_block() -> AsyncIterator[None]:
            yield

        given: list[Any] = [block, async_block]
        for each in given:
            with pytest.raises(TypeError, match=f"{each.__name__} returns a context manager"):
                deadline(30)(each)()
        with deadline(30)(open)(os.devnull) as file:  # its work has begun already
            assert file.read() == ""

    def test_a_coroutine_has_the_deadlines_around_it_too(self) -> None:
        async def play() -> None:
            awaited = deadline(30)(WAYS["coroutine"])("a")
            with deadline(5):
                assert await awaited == ("a", 5)

        in_virtual_time(play())

    def test_an_error_of_a_coroutine_stays_that_error(self) -> None:
        async def fail() -> None:
            raise KeyError

        async def play() -> None:
            with pytest.raises(KeyError):
                await deadline(30)(lambda: fail())()
            assert ambient() == ()

        in_virtual_time(play())

    def test_a_task_or_future_is_returned_as_it_is(self) -> None:
        async def play() -> None:
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            assert deadline(30)(lambda: future)() is future
            task = deadline(30)(lambda: asyncio.create_task(work_of("a")))()
            assert isinstance(task, asyncio.Task)
            assert await task == ("a", 30)

        in_virtual_time(play())

    def test_a_coroutine_that_is_never_awaited_is_warned_of_once(self) -> None:
        def ask(name: str) -> Any:
            return work_of(name)

        with warnings_from_now_on() as caught:
            deadline(30)(ask)("a")
            gc.collect()
        [warning] = caught
        assert issubclass(warning.category, RuntimeWarning)
        assert f"{ask.__qualname__}' was never awaited" in str(warning.message)

    @pytest.mark.parametrize("end", ["closed", "cancelled"])
    def test_a_coroutine_that_ends_before_it_begins_is_not_warned_of(self, end: str) -> None:
        async def play() -> None:
            awaited: Any = deadline(30)(WAYS["coroutine"])("a")
            if end == "closed":
                awaited.close()
                return
            task = asyncio.create_task(awaited)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with warnings_from_now_on() as caught:
            in_virtual_time(play())
            gc.collect()
        assert [str(each.message) for each in caught] == []

    @pytest.mark.parametrize("stream", STREAMS)
    def test_a_stream_that_a_function_returns_is_refused(self, stream: str) -> None:
        def ask() -> Any:
            return STREAMS[stream]()

        with warnings_from_now_on() as caught:
            with pytest.raises(TypeError, match=r"ask returns a stream.* with `bounded`"):
                deadline(30)(ask)()
            gc.collect()
        assert [str(each.message) for each in caught] == []
        assert ambient() == ()

    @pytest.mark.parametrize("stream", ["generator", "asynchronous generator"])
    @pytest.mark.parametrize("way", ["async def", "coroutine"])
    def test_a_generator_that_is_the_answer_of_a_coroutine_is_refused(
        self, way: str, stream: str
    ) -> None:
        async def ask() -> Any:
            return STREAMS[stream]()

        async def play() -> None:
            function: Any = ask if way == "async def" else functools.wraps(ask)(lambda: ask())
            with pytest.raises(TypeError, match="ask returns a stream"):
                await deadline(30)(function)()
            assert ambient() == ()

        in_virtual_time(play())

    def test_a_stream_that_is_refused_is_closed(self) -> None:
        ended: list[str] = []

        def items() -> Iterator[int]:
            try:
                yield 1
            finally:
                ended.append("generator")

        async def async_items() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                await asyncio.sleep(1)
                ended.append("asynchronous generator")

        async def play() -> None:
            stream, async_stream = items(), async_items()
            next(stream)
            await anext(async_stream)

            async def answer() -> Any:
                return async_stream

            for function in (lambda: stream, answer):
                with pytest.raises(TypeError, match="returns a stream"):
                    await deadline(30)(function)()  # type: ignore[misc]
            assert ended == ["generator", "asynchronous generator"]

        in_virtual_time(play())

    def test_a_stream_that_is_bounded_inside_is_let_through(self) -> None:
        @deadline(3)
        def ask() -> AsyncIterator[int]:
            return bounded(endless(), 50)

        @deadline(3)
        def ask_sync() -> Iterator[int]:
            return bounded_sync(iter([1, 2]), 50)

        async def play() -> None:
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await pull_each_in_a_task(ask(), [])
            assert (caught.value.bound, caught.value.limit) == ("deadline", 3)

        in_virtual_time(play())
        assert list(ask_sync()) == [1, 2]

    @pytest.mark.parametrize("kind", [Mock, MagicMock, AsyncMock])
    def test_a_stand_in_for_an_answer_is_no_stream(self, kind: Any) -> None:
        """A mock has a method of every name."""
        answer = kind()
        assert deadline(30)(lambda: answer)() is answer

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

    def test_a_block_keeps_its_own_end_when_an_outer_deadline_is_lifted(self) -> None:
        async def play() -> None:
            with deadline(3) as around:
                asyncio.get_running_loop().call_later(1, around.lift)
                with pytest.raises(StreamDeadlineExceeded) as caught:
                    async with deadline(5, cancel=True):
                        await asyncio.sleep(100)
            assert caught.value.elapsed == pytest.approx(5)
            assert caught.value.limit == 5

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

    def test_the_error_is_reported_with_the_time_that_it_took(self, reported: list[Expiry]) -> None:
        async def play() -> None:
            await asyncio.sleep(3)
            with deadline(2):
                await asyncio.sleep(1)
                with pytest.raises(StreamDeadlineExceeded) as caught:
                    async with deadline(50, cancel=True):
                        await asyncio.sleep(100)
            assert (caught.value.bound, caught.value.limit) == ("deadline", 2)
            assert caught.value.elapsed == pytest.approx(1, abs=0.1)
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)

        in_virtual_time(play())
        [expiry] = reported
        assert (expiry.bound, expiry.limit, expiry.chunks) == ("deadline", 2, 0)
        assert expiry.elapsed == pytest.approx(1, abs=0.1)
        assert (expiry.model, expiry.host) == (None, None)

    def test_a_deadline_that_is_moved_cancels_at_its_new_time(self) -> None:
        async def work() -> None:
            async with deadline(5, cancel=True) as due:
                await asyncio.sleep(4)
                due.at += 10
                await asyncio.sleep(100)

        async def play() -> None:
            with pytest.raises(StreamDeadlineExceeded):
                await work()
            assert elapsed() == pytest.approx(15, abs=0.1)

        in_virtual_time(play())

    def test_a_block_that_has_been_left_has_no_timer(self) -> None:
        async def play() -> None:
            loop: Any = asyncio.get_running_loop()
            async with deadline(5, cancel=True):
                assert len([each for each in loop._scheduled if not each.cancelled()]) == 1
            assert not [each for each in loop._scheduled if not each.cancelled()]

        asyncio.run(play())

    @pytest.mark.parametrize("limit", [None, 5])
    def test_a_block_without_a_bound_has_no_timer(self, limit: float | None) -> None:
        async def play() -> None:
            loop: Any = asyncio.get_running_loop()
            async with deadline(limit, cancel=True):
                assert len(loop._scheduled) == (limit is not None)

        asyncio.run(play())

    def test_the_timer_of_a_loop_that_lags_is_set_for_the_right_moment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As that of uvloop does, which reads the clock once per turn."""

        class Lagging(asyncio.SelectorEventLoop):
            def time(self) -> float:
                return clock() - 0.5

        async def play() -> None:
            due = Deadline.after(60)
            cancellation = Cancellation((due,))
            assert cancellation._timer is not None
            assert cancellation._timer.when() == pytest.approx(due.at - 0.5, abs=1e-6)
            cancellation.leave(None)

        with machine_stands_still() as clock, asyncio.Runner(loop_factory=Lagging) as runner:
            monkeypatch.setattr(time, "monotonic", clock)
            runner.run(play())

    def test_a_block_needs_a_task_to_cancel(self) -> None:
        async def play() -> None:
            loop = asyncio.get_running_loop()
            found = loop.create_future()

            def enter() -> None:
                try:
                    Cancellation((Deadline.after(5),))
                except RuntimeError as error:
                    found.set_result(str(error))
                else:
                    found.set_result("")

            loop.call_soon(enter)
            assert "needs a task" in await found

        asyncio.run(play())

    def test_the_inner_of_two_blocks_is_not_charged_with_the_end_of_the_outer(self) -> None:
        async def work() -> None:
            async with deadline(3, cancel=True), deadline(9, cancel=True):
                await asyncio.sleep(100)

        async def play() -> None:
            task = asyncio.current_task()
            assert task is not None
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await work()
            assert elapsed() == pytest.approx(3, abs=0.1)
            assert caught.value.limit == 3
            assert task.cancelling() == 0
            await asyncio.sleep(1)

        in_virtual_time(play())

    def test_a_task_that_was_cancelled_before_the_block_can_be_cancelled_by_it(self) -> None:
        async def play() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            with pytest.raises(StreamDeadlineExceeded):
                async with deadline(3, cancel=True):
                    await asyncio.sleep(100)
            assert task.cancelling() == 1, "the one before"
            task.uncancel()

        in_virtual_time(play())

    def test_an_error_that_comes_of_the_cancellation_stays_that_error(self) -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                raise KeyError from None

        async def play() -> None:
            task = asyncio.current_task()
            assert task is not None
            with pytest.raises(KeyError):
                async with deadline(3, cancel=True):
                    await work()
            assert task.cancelling() == 0

        in_virtual_time(play())

    def test_a_jump_of_the_clock_cancels_at_once(self) -> None:
        async def play(clock: VirtualClock) -> None:
            began, ended = asyncio.Event(), asyncio.Event()

            async def work() -> None:
                try:
                    async with deadline(1000, cancel=True):
                        began.set()
                        await asyncio.sleep(60)
                finally:
                    ended.set()

            task = asyncio.create_task(work())
            await began.wait()
            clock.advance(999)
            await asyncio.sleep(0.01)
            assert not ended.is_set()
            clock.advance(1)
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await asyncio.wait_for(task, 20)
            assert caught.value.elapsed == 1000
            async with deadline(1000, cancel=True):
                pass
            clock.advance(5000)
            await asyncio.sleep(0)

        with virtual_clock() as clock:
            asyncio.run(play(clock))
            clock.advance(5000)  # its loop is closed

    def test_the_warning_names_the_limit_of_a_block_across_a_yield(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def play() -> None:
            block = deadline(5, cancel=True)

            async def enter() -> None:
                await block.__aenter__()

            await asyncio.create_task(enter())
            await asyncio.sleep(4)
            assert not caplog.records
            await asyncio.sleep(4)

        in_virtual_time(play())
        [record] = caplog.records
        assert (record.name, record.levelname) == ("stream_deadline", "WARNING")
        assert "A deadline(5, cancel=True) has passed" in record.getMessage()


class TestDeadline:
    @pytest.mark.parametrize("limit", [3, 3.0, Fraction(3)])
    def test_its_limit_may_be_any_real_number(self, limit: Any) -> None:
        assert Deadline.after(limit).limit == 3

    @pytest.mark.parametrize("limit", [10**400, -(10**400)])
    def test_a_limit_that_is_too_large_for_a_clock_is_refused(self, limit: int) -> None:
        with pytest.raises(ValueError, match="must be a number of seconds"):
            Deadline.after(limit)

    def test_it_says_what_it_was_made_of_and_what_is_left(self) -> None:
        async def play() -> None:
            due = Deadline.after(5)
            await asyncio.sleep(2)
            assert repr(due) == "<Deadline of 5 s, 3.000 s left>"
            assert (due.at, due.limit, due.remaining(), due.expired) == (5, 5, 3, False)

        in_virtual_time(play())

    def test_it_has_expired_when_nothing_is_left(self) -> None:
        async def play() -> None:
            due = Deadline.after(5)
            await asyncio.sleep(4.5)
            assert not due.expired
            await asyncio.sleep(0.5)
            assert due.expired

        in_virtual_time(play())

    def test_none_is_no_deadline(self) -> None:
        due = Deadline.after(None)
        assert (due.at, due.limit, due.expired) == (math.inf, math.inf, False)
        with deadline(None):
            assert remaining() == math.inf

    def test_it_is_measured_by_the_clock_of_a_loop_with_a_time_of_its_own(self) -> None:
        async def play() -> None:
            await asyncio.sleep(7)
            assert now() == 7
            with deadline(5):
                await asyncio.sleep(2)
                assert remaining() == 3

        in_virtual_time(play())
        assert abs(now() - time.monotonic()) < 60

    @pytest.mark.parametrize(("ahead", "is_its_own"), [(0.0, False), (0.9, False), (-0.9, False), (1.0, True),
                                                       (1.5, True), (-1.5, True)])  # fmt: skip
    def test_a_loop_that_is_less_than_a_second_off_has_no_time_of_its_own(
        self, ahead: float, is_its_own: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: 100.0)
        loop: Any = SimpleNamespace(time=lambda: 100.0 + ahead)
        assert clock_of(loop) is (loop.time if is_its_own else _clock.monotonic)


class TestBlock:
    def test_each_block_returns_the_deadline_that_holds_in_it(self) -> None:
        with machine_stands_still(), deadline(30) as outer, deadline(20) as inner:
            assert (outer.limit, inner.limit) == (30, 20)
            with deadline(40) as none:
                assert none is inner
                assert [each.limit for each in ambient()] == [30, 20, 40]
                assert remaining() == pytest.approx(20, abs=1e-6)
        assert ambient() == ()

    def test_a_block_that_was_not_entered_cannot_be_left(self) -> None:
        with pytest.raises(RuntimeError, match="not entered"):
            deadline(5).__exit__(None, None, None)

    def test_a_block_that_was_left_cannot_be_left_again(self) -> None:
        block = deadline(5)
        with block:
            pass
        with pytest.raises(RuntimeError, match="not entered"):
            block.__exit__(None, None, None)

    def test_a_block_cannot_be_entered_twice(self) -> None:
        block = deadline(5)
        with block, pytest.raises(RuntimeError, match="was entered already"):
            block.__enter__()
        with pytest.raises(RuntimeError, match="was left already"):
            block.__enter__()

    def test_an_asynchronous_block_is_left_as_a_plain_one(self) -> None:
        async def play() -> None:
            block = deadline(5)
            async with block as due:
                assert ambient() == (due,)
            assert ambient() == ()
            with pytest.raises(RuntimeError, match="left already"):
                await block.__aenter__()

        in_virtual_time(play())

    def test_work_that_outlives_its_request_has_neither_its_deadline_nor_its_group(self) -> None:
        group = CallGroup()
        with group, deadline(30) as due:
            with no_deadline():
                assert (ambient(), current_group()) == ((), None)
                assert remaining() == math.inf
            assert (ambient(), current_group()) == ((due,), group)
            with contextlib.suppress(KeyError), no_deadline():
                raise KeyError
            assert (ambient(), current_group()) == ((due,), group)

    def test_only_a_deadline_that_is_handed_over_holds(self) -> None:
        due, group = Deadline.after(5), CallGroup()
        with group, deadline(3) as outer:
            with holding(due):
                assert (ambient(), current_group()) == ((due,), None)
            assert (ambient(), current_group()) == ((outer,), group)
