"""An answer runs in an event loop of its own, which it may block."""

import asyncio
import threading

import pytest

from stream_lab.course import own_loop
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


def test_an_error_of_an_answer_is_passed_on() -> None:
    async def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        asyncio.run(in_own_loop(fail))


def test_a_cancellation_that_an_answer_lets_out_is_named() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(Wrong, match="CancelledError"):
        asyncio.run(in_own_loop(cancelled))


@pytest.mark.parametrize(("late", "tries"), [(True, own_loop.TRIES), (False, 1)])
def test_a_wrong_answer_is_tried_again_only_on_a_busy_machine(
    late: bool, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_loop, "BUSY", -1.0 if late else 60.0)
    tried: list[int] = []

    async def wrong() -> None:
        tried.append(1)
        await asyncio.sleep(3 * own_loop.BEAT)
        raise Wrong("too late")

    with pytest.raises(Wrong, match="too late"):
        asyncio.run(in_own_loop(wrong))
    assert len(tried) == tries
