"""Natural answers to the exercises of notebook 07: right ones pass, mistakes are named."""

# ruff: noqa: ASYNC119, ASYNC251, SIM105 (these are the mistakes)

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stream_deadline import bounded
from stream_lab.course.exercise import Examined
from tests.stream_lab.course.together import examined

Items = AsyncIterator[int]


async def clocked(items: Items, seconds: float) -> Items:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        if loop.time() >= until:
            raise TimeoutError
        try:
            async with asyncio.timeout_at(until):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item


async def waited_for(items: Items, seconds: float) -> Items:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            item = await asyncio.wait_for(anext(items), left)
        except StopAsyncIteration:
            return
        yield item
    raise TimeoutError


def by_the_library(items: Items, seconds: float) -> Items:
    return bounded(items, seconds)


async def untouched(items: Items, seconds: float) -> Items:
    raise NotImplementedError


async def without_a_clock(items: Items, seconds: float) -> Items:
    until = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(until):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item


async def forgets_the_end(items: Items, seconds: float) -> Items:
    until = asyncio.get_running_loop().time() + seconds
    while True:
        async with asyncio.timeout_at(until):
            item = await anext(items)
        yield item


async def only_a_clock(items: Items, seconds: float) -> Items:
    started = time.monotonic()
    async for item in items:
        if time.monotonic() - started > seconds:
            raise TimeoutError
        yield item


async def one_scope(items: Items, seconds: float) -> Items:
    async with asyncio.timeout(seconds):
        async for item in items:
            yield item


async def clock_and_one_scope(items: Items, seconds: float) -> Items:
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        async for item in items:
            if time.monotonic() - started > seconds:
                raise TimeoutError
            yield item


async def a_length_for_each(items: Items, seconds: float) -> Items:
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            async with asyncio.timeout(seconds):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item
    raise TimeoutError


async def returns_at_the_deadline(items: Items, seconds: float) -> Items:
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        try:
            async with asyncio.timeout_at(until):
                item = await anext(items)
        except (StopAsyncIteration, TimeoutError):
            return
        yield item


async def silences_the_source(items: Items, seconds: float) -> Items:
    until = asyncio.get_running_loop().time() + seconds
    while True:
        if asyncio.get_running_loop().time() >= until:
            raise TimeoutError
        try:
            async with asyncio.timeout_at(until):
                item = await anext(items)
        except TimeoutError:
            raise
        except Exception:
            return
        except StopAsyncIteration:
            return
        yield item


async def collects(items: Items, seconds: float) -> list[int]:
    async with asyncio.timeout(seconds):
        return [item async for item in items]


async def drops_the_first(items: Items, seconds: float) -> Items:
    await anext(items)
    async for item in clocked(items, seconds):
        yield item


async def untouched_source() -> Items:
    raise NotImplementedError


RIGHT: list[tuple[str, Any]] = [("1", clocked), ("1", waited_for), ("1", by_the_library)]
WRONG: list[tuple[str, Any, str]] = [
    ("1", without_a_clock, "ready"),
    ("1", forgets_the_end, "StopAsyncIteration"),
    ("1", only_a_clock, "falls silent"),
    ("1", one_scope, "open at a `yield`"),
    ("1", clock_and_one_scope, "open at a `yield`"),
    ("1", a_length_for_each, "too late"),
    ("1", returns_at_the_deadline, "as if the answer were whole"),
    ("1", silences_the_source, "ValueError"),
    ("1", collects, "no `yield`"),
    ("1", drops_the_first, "handed over"),
    ("1", 3, "int"),
    ("1", lambda items, seconds: None, "None"),
]


async def blocks() -> Items:
    for number in range(200):
        time.sleep(0.01)
        yield number


async def computes() -> Items:
    number = 0
    while True:
        number += sum(range(50_000)) > 0
        yield number


async def swallows() -> Items:
    number = 0
    while True:
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            pass
        number += 1
        yield number
        time.sleep(0.01)


async def sleeps() -> Items:
    for number in range(200):
        await asyncio.sleep(0.01)
        yield number


async def gives_way() -> Items:
    for number in range(200):
        time.sleep(0.01)
        await asyncio.sleep(0)
        yield number


async def is_too_short() -> Items:
    for number in range(20):
        yield number


async def sleeps_once() -> Items:
    time.sleep(0.5)
    yield 1


def is_plain() -> Any:
    yield from range(200)


async def only_computes() -> int:
    return sum(range(10))


RIGHT += [("2", blocks), ("2", computes), ("2", swallows)]
WRONG += [
    ("2", sleeps, "waits somewhere"),
    ("2", gives_way, "waits somewhere"),
    ("2", is_too_short, "by itself"),
    ("2", sleeps_once, "by itself"),
    ("2", is_plain, "plain `def`"),
    ("2", only_computes, "no `yield`"),
    ("2", blocks(), "async_generator"),
]


UNTOUCHED: list[tuple[str, Any]] = [("1", untouched), ("2", untouched_source)]


@pytest.fixture(scope="module")
def results() -> list[Examined]:
    answers = [*RIGHT, *((number, answer) for number, answer, _ in WRONG), *UNTOUCHED]
    return examined("07", answers)


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
