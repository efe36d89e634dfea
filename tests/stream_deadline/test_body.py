"""The bounded body in place of a response's own."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from stream_deadline import StreamDeadlineExceeded
from stream_deadline._body import _AsyncBody, bound_async_body, bound_body
from stream_deadline._budget import Bounds, Budget
from stream_deadline._connection import ConnectionTracker
from tests.stream_deadline.test_budget import Clock


class Stream(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """A body that counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"

    async def aclose(self) -> None:
        self.closed += 1


def call(timeout: float = 5.0) -> tuple[Clock, Budget, ConnectionTracker]:
    clock = Clock()
    budget = Budget(Bounds(timeout), clock)
    return clock, budget, ConnectionTracker(budget, blocking=False)


async def test_the_deadline_closes_the_source() -> None:
    clock, budget, tracker = call()
    body = aiter(_AsyncBody(SimpleNamespace(stream=(stream := Stream())), budget, tracker))
    clock.time += 5.0
    with pytest.raises(StreamDeadlineExceeded):
        await anext(body)
    assert stream.closed == 1


@pytest.mark.parametrize("late", [0.0, 6.0])
async def test_a_body_that_its_caller_has_closed_has_ended_at_the_deadline_too(late: float) -> None:
    clock, budget, tracker = call()
    body = _AsyncBody(SimpleNamespace(stream=(stream := Stream())), budget, tracker)
    aiter(body)
    await body.aclose()
    clock.time += late
    assert [data async for data in body] == []
    assert (stream.closed, body._alarm.fired()) == (1, False)


def response(**has: Any) -> Any:
    return SimpleNamespace(**{"is_closed": False, "stream": Stream(), **has})


@pytest.mark.parametrize("bound", [bound_body, bound_async_body])
@pytest.mark.parametrize(
    ("has", "is_bounded"),
    [({}, True), ({"is_closed": True}, False), ({"_content": b"whole"}, False)],
    ids=["open", "closed", "read"],
)
async def test_only_the_body_of_a_response_that_is_still_to_be_read_is_bounded(
    bound: Any, has: dict[str, Any], is_bounded: bool
) -> None:
    """Mocks and caches give responses that have been read."""
    _, budget, tracker = call()
    made = response(**has)
    before = made.stream
    bound(made, budget, tracker)
    assert (made.stream is not before) is is_bounded
