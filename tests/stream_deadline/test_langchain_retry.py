"""LangChain's `with_retry` inside a deadline, as docs/architecture.md says."""

import asyncio
import time
from typing import Any

import openai
import pytest

from stream_deadline import ChatVllm, StreamDeadlineExceeded, deadline
from tests.stream_deadline.in_memory import InMemory, of
from tests.stream_deadline.sources import elapsed, virtually
from tests.stream_deadline.still_clock import Clock, machine_stands_still

OTHERS = (openai.RateLimitError, openai.APIConnectionError)
"""The errors of a server that may soon be able to answer."""


def chat(server: InMemory) -> Any:
    return ChatVllm(**server.settings, timeout=None, max_retries=0)


async def silence(request: Any) -> Any:
    await asyncio.sleep(1000)


def busy(request: Any) -> Any:
    return of(429, "busy")


@virtually
async def test_langchains_pauses_are_not_bounded_by_a_deadline() -> None:
    server = InMemory(silence)
    model = chat(server).with_retry(stop_after_attempt=4)
    with pytest.raises(StreamDeadlineExceeded), deadline(10):
        await model.ainvoke("Why?")
    assert elapsed() > 11
    assert len(server.requests) == 1


@virtually
async def test_a_deadline_is_the_end_if_its_error_is_not_retried() -> None:
    server = InMemory(silence)
    model = chat(server).with_retry(stop_after_attempt=4, retry_if_exception_type=OTHERS)
    with pytest.raises(StreamDeadlineExceeded), deadline(10):
        await model.ainvoke("Why?")
    assert elapsed() == pytest.approx(10)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("settings", "pauses"), [({}, 3), ({"retry_if_exception_type": OTHERS}, 0)]
)
def test_the_same_holds_in_a_synchronous_call(
    settings: dict[str, Any], pauses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: Clock
    slept: list[float] = []

    def late(request: Any) -> Any:
        clock.time += 60
        return of(200)

    server = InMemory(late)
    model = chat(server).with_retry(stop_after_attempt=4, **settings)
    monkeypatch.setattr(time, "sleep", slept.append)
    with machine_stands_still() as clock, pytest.raises(StreamDeadlineExceeded), deadline(10):
        model.invoke("Why?")
    assert len(slept) == pauses
    assert len(server.requests) == 1


@virtually
async def test_errors_that_are_retried_still_are() -> None:
    server = InMemory(busy)
    model = chat(server).with_retry(stop_after_attempt=3, retry_if_exception_type=OTHERS)
    with pytest.raises(openai.RateLimitError), deadline(100):
        await model.ainvoke("Why?")
    assert len(server.requests) == 3


@virtually
async def test_langchains_pauses_end_with_a_deadline_that_cancels() -> None:
    for answer in (silence, busy):
        server, began = InMemory(answer), elapsed()
        model = chat(server).with_retry(stop_after_attempt=9)
        with pytest.raises(StreamDeadlineExceeded) as caught:
            async with deadline(10, cancel=True):
                await model.ainvoke("Why?")
        assert caught.value.bound == "deadline"
        assert elapsed() - began == pytest.approx(10)
        assert len(server.requests) == (1 if answer is silence else 4)
