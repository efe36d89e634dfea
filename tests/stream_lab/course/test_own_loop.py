"""An answer runs in an event loop of its own, which it may block."""

import asyncio
import threading

import pytest

from stream_lab.course.exercise import Wrong
from stream_lab.course.own_loop import in_own_loop


def test_an_answer_that_blocks_its_loop_is_given_up() -> None:
    free = threading.Event()

    async def block() -> None:
        free.wait()

    try:
        with pytest.raises(Wrong, match="had not ended"):
            asyncio.run(in_own_loop(block, limit=0.05))
    finally:
        free.set()


def test_what_an_answer_raises_is_passed_on() -> None:
    async def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        asyncio.run(in_own_loop(fail))


def test_a_cancellation_that_an_answer_lets_out_is_named() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(Wrong, match="CancelledError"):
        asyncio.run(in_own_loop(cancelled))
