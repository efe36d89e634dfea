"""Recordings: the task that pulled each chunk, and the end of a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate

from stream_lab import Endpoint, TaskNumbers, record, record_sync, traced
from stream_lab.experiment.story import PlainChatVllm
from stream_lab.experiment.trace import Ending


async def ticks(count: int | None, gap: float = 0.001) -> AsyncIterator[str]:
    sent = 0
    while count is None or sent < count:
        await asyncio.sleep(gap)
        sent += 1
        yield "x"


def patience(ending: Ending) -> float:
    """A short deadline where it should pass, and a long one where it should not."""
    return 0.2 if ending is Ending.GAVE_UP else 20.0


async def broken(error: BaseException) -> AsyncIterator[str]:
    yield "x"
    raise error


@pytest.mark.parametrize(
    ("stream", "ending", "error"),
    [
        (lambda: ticks(3), Ending.FINISHED, ""),
        (lambda: ticks(None), Ending.GAVE_UP, ""),
        (lambda: ticks(3, gap=90), Ending.GAVE_UP, ""),
        (lambda: broken(TimeoutError("late")), Ending.CUT, "TimeoutError: late"),
        (lambda: broken(ValueError("odd")), Ending.FAILED, "ValueError: odd"),
        (lambda: broken(asyncio.CancelledError()), Ending.FAILED, "CancelledError"),
    ],
)
def test_every_way_that_a_stream_can_end_is_distinguished(
    stream: Any, ending: Ending, error: str
) -> None:
    recording = asyncio.run(record(stream(), give_up_after=patience(ending)))
    assert (recording.ending, recording.error) == (ending, error)
    assert recording.ended < 2


def ticks_sync(count: int | None) -> Iterator[str]:
    sent = 0
    while count is None or sent < count:
        time.sleep(0.001)
        sent += 1
        yield "x"


def broken_sync(error: Exception) -> Iterator[str]:
    yield "x"
    raise error


@pytest.mark.parametrize(
    ("stream", "ending", "error"),
    [
        (lambda: ticks_sync(3), Ending.FINISHED, ""),
        (lambda: ticks_sync(None), Ending.GAVE_UP, ""),
        (lambda: broken_sync(TimeoutError("late")), Ending.CUT, "TimeoutError: late"),
        (lambda: broken_sync(ValueError("odd")), Ending.FAILED, "ValueError: odd"),
    ],
)
def test_a_synchronous_stream_is_recorded_in_the_same_way_and_closed(
    stream: Any, ending: Ending, error: str
) -> None:
    items = stream()
    recording = record_sync(items, give_up_after=patience(ending))
    assert (recording.ending, recording.error) == (ending, error)
    assert recording.chunks
    assert recording.ended < 2
    assert next(items, "closed") == "closed"


def test_the_outer_bound_ends_a_stream_that_is_always_ready() -> None:
    """No cancellation reaches a source that never waits; reading the clock ends it."""

    async def ready() -> AsyncIterator[str]:
        while True:
            yield "x"

    assert asyncio.run(record(ready(), give_up_after=0.1)).ending is Ending.GAVE_UP


def test_the_outer_bound_ends_a_stream_that_swallows_a_cancellation() -> None:
    async def deaf() -> AsyncIterator[str]:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
            yield "x"

    recording = asyncio.run(record(deaf(), give_up_after=0.1))
    assert recording.ending is Ending.GAVE_UP
    assert recording.ended < 1


@pytest.mark.parametrize("error", [TimeoutError(), asyncio.CancelledError()])
def test_an_error_of_a_stream_that_is_closed_changes_nothing(error: BaseException) -> None:
    async def fails_to_close() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            raise error

    recording = asyncio.run(record(fails_to_close(), give_up_after=0.1))
    assert (recording.ending, recording.error) == (Ending.GAVE_UP, "")


def test_a_recording_that_is_cancelled_ends() -> None:
    async def cancelled() -> bool:
        recording = asyncio.create_task(record(ticks(None), give_up_after=20))
        await asyncio.sleep(0.05)
        recording.cancel()
        return bool((await asyncio.wait({recording}))[0]) and recording.cancelled()

    assert asyncio.run(cancelled())


def test_a_chain_pulls_each_chunk_in_a_new_task_and_the_model_alone_in_one(fake: Endpoint) -> None:
    async def play() -> tuple[Any, Any]:
        model = traced(PlainChatVllm)(**fake.settings)
        chain = ChatPromptTemplate.from_messages([("user", "{q}")]) | model
        return (
            await record(model.astream("Hi"), give_up_after=1.5),
            await record(chain.astream({"q": "Hi"}), give_up_after=1.5),
        )

    alone, chained = asyncio.run(play())
    assert alone.pulling_tasks == 1
    assert not alone.one_task_per_chunk
    assert chained.one_task_per_chunk
    assert chained.pulling_tasks > 5
    assert [pull.task for pull in chained.pulls][:4] == [1, 2, 3, 4]


def test_two_recordings_at_once_do_not_mix(fake: Endpoint) -> None:
    async def play() -> list[Any]:
        model = traced(PlainChatVllm)(**fake.settings)
        return await asyncio.gather(
            *(record(model.astream("Hi"), give_up_after=1.5) for _ in range(2))
        )

    for recording in asyncio.run(play()):
        assert recording.pulling_tasks == 1
        assert len([pull for pull in recording.pulls if pull.got is not None]) >= recording.chunks


def test_a_traced_class_works_outside_a_recording_and_keeps_its_name(fake: Endpoint) -> None:
    async def play() -> int:
        model = traced(PlainChatVllm)(**fake.settings, max_tokens=3)
        return len([chunk async for chunk in model.astream("Hi")])

    assert asyncio.run(play()) >= 3
    assert traced(PlainChatVllm).__name__ == "PlainChatVllm"


@pytest.mark.parametrize("computes", [False, True])
def test_a_machine_that_stands_still_is_noticed_and_one_that_computes_is_not(
    computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute passes at once, on one clock or both, far more than real pauses."""
    ahead = {"monotonic": 0.0, "process_time": 0.0}
    clocks = {name: partial(_clock, name, ahead) for name in ahead}
    monkeypatch.setattr("stream_lab.experiment.trace.time", SimpleNamespace(**clocks))

    async def blocked() -> AsyncIterator[str]:
        await asyncio.sleep(0.15)
        for name in ("monotonic", "process_time") if computes else ("monotonic",):
            ahead[name] += 60
        yield "x"
        await asyncio.sleep(0.15)

    stood_still = asyncio.run(record(blocked(), give_up_after=600)).stood_still
    assert stood_still < 30 if computes else stood_still > 50


def _clock(name: str, ahead: dict[str, float]) -> float:
    return float(getattr(time, name)()) + ahead[name]


def test_tasks_are_numbered_by_first_appearance() -> None:
    async def play() -> list[int]:
        numbers = TaskNumbers()

        async def me() -> int:
            return numbers.current()

        own = numbers.current()
        others = [await asyncio.create_task(me()) for _ in range(3)]
        return [own, *others, numbers.current(), numbers.of(None)]

    assert asyncio.run(play()) == [1, 2, 3, 4, 1, 0]
