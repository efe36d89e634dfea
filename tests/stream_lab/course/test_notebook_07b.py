"""Natural answers to the exercises of notebook 07b: right ones pass, mistakes are named."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from stream_deadline import StreamDeadlineExceeded, bounded, deadline
from stream_deadline.testing import VirtualClock
from stream_lab.course.exercise import Examined
from tests.stream_lab.course.test_notebook_07 import clocked, forgets_the_end, one_scope
from tests.stream_lab.course.together import examined

Items = AsyncIterator[Any]


def reader(
    *,
    end_in_finally: bool = True,
    clock: bool = True,
    awaits: bool = True,
    cleans_up: bool = True,
    tells: bool = True,
) -> Any:
    """Return the sketch of the notebook, without the parts that a learner may forget."""

    async def wrapper(chunks: Items, seconds: float) -> Items:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        queue: asyncio.Queue[Any] = asyncio.Queue()
        end = object()

        async def read() -> None:
            try:
                async for chunk in chunks:
                    queue.put_nowait(chunk)
                if not end_in_finally:
                    queue.put_nowait(end)
            finally:
                if end_in_finally:
                    queue.put_nowait(end)

        task = asyncio.create_task(read())
        timer = loop.call_at(until, task.cancel)
        try:
            while (chunk := await queue.get()) is not end and (not clock or loop.time() < until):
                yield chunk
            if loop.time() >= until and tells:
                raise TimeoutError
            if awaits:
                await task
        finally:
            timer.cancel()
            if cleans_up:
                task.cancel()

    return wrapper


async def by_errors(chunks: Any, seconds: float, *, closes: bool = True) -> Items:
    """Hand everything through a short queue, errors too."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=4)

    async def read() -> None:
        try:
            async with asyncio.timeout_at(until):
                async for chunk in chunks:
                    await queue.put((chunk, None))
            error: Exception = StopAsyncIteration()
        except Exception as raised:
            error = raised
        finally:
            if closes:
                await chunks.aclose()
        while not queue.empty() and isinstance(error, TimeoutError):
            queue.get_nowait()
        await queue.put((None, error))

    task = asyncio.create_task(read())
    try:
        while True:
            chunk, error = await queue.get()
            if isinstance(error, StopAsyncIteration):
                return
            if error is not None:
                raise error
            if loop.time() >= until:
                raise TimeoutError
            yield chunk
    finally:
        task.cancel()


async def in_a_group(chunks: Items, seconds: float) -> Items:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def read() -> None:
        async for chunk in chunks:
            queue.put_nowait(chunk)
        queue.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        loop.call_at(until, group.create_task(read()).cancel)
        while (chunk := await queue.get()) is not None:
            if loop.time() >= until:
                raise TimeoutError
            yield chunk  # noqa: ASYNC119 (this is the mistake)


class Reader:
    """The same as a class."""

    def __init__(self, chunks: Items, seconds: float) -> None:
        self._inner = reader()(chunks, seconds)

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> Any:
        return await anext(self._inner)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def closes_from_outside(chunks: Any, seconds: float) -> Items:
    asyncio.get_running_loop().call_later(seconds, lambda: asyncio.ensure_future(chunks.aclose()))
    async for chunk in chunks:
        yield chunk


async def untouched(chunks: Items, seconds: float) -> Items:
    raise NotImplementedError


def untouched_budget(model: Any, first: str, second: str, seconds: float) -> Any:
    raise NotImplementedError


def ask_once_each(model: Any, first: str, second: str, seconds: float) -> list[Any]:
    with deadline(seconds):
        return [model.invoke(first), model.invoke(second)]


def ask_with_the_rest(model: Any, first: str, second: str, seconds: float) -> list[Any]:
    until = time.monotonic() + seconds
    one = model.invoke(first, timeout=seconds)
    return [one, model.bind(timeout=until - time.monotonic()).invoke(second)]


def ask_in_a_decorated_function(model: Any, first: str, second: str, seconds: float) -> Any:
    @deadline(seconds)
    def both() -> Any:
        return model.invoke(first), model.invoke(second)

    return both()


def a_budget_for_each(model: Any, first: str, second: str, seconds: float) -> list[Any]:
    with deadline(seconds):
        one = model.invoke(first)
    with deadline(seconds):
        return [one, model.invoke(second)]


def half_for_each(model: Any, first: str, second: str, seconds: float) -> list[Any]:
    return [model.invoke(each, timeout=seconds / 2) for each in (first, second)]


def not_entered(model: Any, first: str, second: str, seconds: float) -> list[Any]:
    deadline(seconds)
    return [model.invoke(first), model.invoke(second)]


def looks_afterwards(model: Any, first: str, second: str, seconds: float) -> list[Any]:
    started = time.monotonic()
    both = [model.invoke(first), model.invoke(second)]
    if time.monotonic() - started > seconds:
        raise TimeoutError
    return both


def swallows(model: Any, first: str, second: str, seconds: float) -> list[Any]:
    try:
        return ask_once_each(model, first, second, seconds)
    except TimeoutError:
        return []


def only_the_second(model: Any, first: str, second: str, seconds: float) -> Any:
    with deadline(seconds):
        model.invoke(first)
        return model.invoke(second)


def asks_once(model: Any, first: str, second: str, seconds: float) -> Any:
    with deadline(seconds):
        return [model.invoke(first)] * 2


async def is_async(model: Any, first: str, second: str, seconds: float) -> Any:
    return ask_once_each(model, first, second, seconds)


ENDS = {"a": "first_chunk_timeout", "b": "idle_timeout", "c": "timeout", "d": "none"}

RIGHT: list[tuple[str, Any]] = [
    ("1", reader()),
    ("1", by_errors),
    ("1", Reader),
    ("1", bounded),
    ("2", ask_once_each),
    ("2", ask_with_the_rest),
    ("2", ask_in_a_decorated_function),
    ("3", ENDS),
    ("3", {**ENDS, "d": None}),
]
WRONG: list[tuple[str, Any, str]] = [
    ("1", clocked, "while no item is pulled"),
    ("1", partial(by_errors, closes=False), "aclose()"),
    ("1", one_scope, "open at a `yield`"),
    ("1", forgets_the_end, "StopAsyncIteration"),
    ("1", in_a_group, "ExceptionGroup"),
    ("1", closes_from_outside, "as if the answer were whole"),
    ("1", reader(clock=False), "read ahead"),
    ("1", reader(tells=False, awaits=False), "as if the answer were whole"),
    ("1", reader(tells=False), "CancelledError"),
    ("1", reader(awaits=False), "await the reader"),
    ("1", reader(cleans_up=False), "left behind"),
    ("1", reader(end_in_finally=False), "nothing woke the consumer"),
    ("1", 3, "int"),
    ("2", a_budget_for_each, "around both"),
    ("2", half_for_each, "share of its own"),
    ("2", not_entered, "around both"),
    ("2", looks_afterwards, "under way"),
    ("2", swallows, "let the error out"),
    ("2", only_the_second, "both answers"),
    ("2", asks_once, "first and then second"),
    ("2", is_async, "plain `def`"),
    ("3", ["timeout"] * 4, "dictionary"),
    ("3", {"a": "timeout"}, "b, c, d"),
    ("3", {**ENDS, "a": "idle_timeout"}, "no chunk has come"),
    ("3", {**ENDS, "a": "timeout"}, "after 10"),
    ("3", {**ENDS, "b": "none"}, "Comments"),
    ("3", {**ENDS, "b": "first_chunk_timeout"}, "came in time"),
    ("3", {**ENDS, "c": "idle_timeout"}, "never idle"),
    ("3", {**ENDS, "d": "first_chunk_timeout"}, "thought"),
    ("3", {**ENDS, "d": "total"}, "choose one of"),
]


UNTOUCHED: list[tuple[str, Any]] = [("1", untouched), ("2", untouched_budget), ("3", ...)]


@pytest.fixture(scope="module")
def results() -> list[Examined]:
    answers = [*RIGHT, *((number, answer) for number, answer, _ in WRONG), *UNTOUCHED]
    return examined("07b", answers)


@pytest.mark.parametrize("place", range(len(RIGHT)))
def test_a_right_answer_is_accepted(results: list[Examined], place: int) -> None:
    assert results[place] == Examined(right=True)


@pytest.mark.parametrize("place", range(len(WRONG)))
def test_the_message_names_the_mistake(results: list[Examined], place: int) -> None:
    result = results[len(RIGHT) + place]
    assert result.given
    assert not result.right
    assert WRONG[place][-1] in result.message


def test_an_untouched_skeleton_is_not_an_answer(results: list[Examined]) -> None:
    assert not any(result.given for result in results[-len(UNTOUCHED) :])


CALLS = {
    "a": [40.0],
    "b": [2.0, *[1.0] * 18, 10.0],
    "c": [1.0] * 600,
    "d": [1.0] * 50,
}
"""For each call of exercise 3, the seconds before each chunk that says something."""


@pytest.mark.parametrize("letter", CALLS)
def test_the_library_ends_the_calls_of_exercise_3_by_the_bounds_that_are_right(
    letter: str, virtual_clock: VirtualClock
) -> None:
    async def source() -> Items:
        for seconds in CALLS[letter]:
            await asyncio.sleep(0.001)  # the consumer gets a chunk before the time of the next one
            virtual_clock.advance(seconds)
            yield "a word"

    async def ends() -> str:
        try:
            async for _ in bounded(source(), 60, first_chunk_timeout=10, idle_timeout=5):
                pass
        except StreamDeadlineExceeded as error:
            return error.bound
        return "none"

    assert asyncio.run(ends()) == ENDS[letter]
