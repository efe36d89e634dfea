"""The calls of a request end together at its disconnect, in any task or thread."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial

import httpx2
import pytest

from stream_deadline import ChatVllm, StreamDeadlineExceeded, bounded
from stream_deadline._call_group import CallGroup, current_group, no_group
from stream_lab import Endpoint
from tests.conftest import ledger, wait
from tests.stream_deadline.sources import Source, elapsed, virtually


@virtually
async def test_a_waiting_stream_ends_and_its_source_is_closed() -> None:
    source = Source(first=0, every=10)
    with CallGroup() as scope:
        stream = bounded(source, 60)
    assert await anext(stream) == 0
    asyncio.get_running_loop().call_later(3, scope.end)
    with pytest.raises(StreamDeadlineExceeded, match="has disconnected") as caught:
        await anext(stream)
    assert (caught.value.bound, caught.value.limit, caught.value.elapsed) == ("caller", 3, 3)
    assert (elapsed(), source.closed) == (3, 1)


@virtually
async def test_a_stream_ends_even_if_it_is_not_pulled() -> None:
    source = Source(every=1)
    with CallGroup() as scope:
        stream = bounded(source)
    await asyncio.sleep(2.5)
    scope.end()
    await asyncio.sleep(0.1)
    assert source.closed == 1
    with pytest.raises(StreamDeadlineExceeded):
        await anext(stream)


@virtually
async def test_an_outer_group_ends_the_calls_of_an_inner_one_and_not_the_reverse() -> None:
    with CallGroup() as outer:
        before = bounded(Source(every=1))
        with CallGroup() as inner:
            within = bounded(Source(every=1))
        with CallGroup():
            beside = bounded(Source(every=1))
    inner.end()
    with pytest.raises(StreamDeadlineExceeded):
        await anext(within)
    assert await anext(before) == 0
    outer.end()
    for stream in (before, beside):
        with pytest.raises(StreamDeadlineExceeded):
            await anext(stream)


@virtually
async def test_a_call_after_the_end_of_its_group_does_not_begin() -> None:
    source = Source(every=1)
    with CallGroup() as scope:
        scope.end()
        with pytest.raises(StreamDeadlineExceeded):
            await anext(bounded(source))
    assert source.sent == []


@virtually
async def test_finished_calls_are_forgotten() -> None:
    with CallGroup() as outer, CallGroup() as scope:
        stream = bounded(Source(every=1, ends=2))
        assert [item async for item in stream] == [0, 1]
    await asyncio.sleep(0)
    assert (scope._ends, outer._ends) == (set(), set())
    assert current_group() is None


SYNC: dict[str, Callable[[ChatVllm], object]] = {
    "stream": lambda model: list(model.stream("Why?")),
    "invoke": lambda model: model.invoke("Why?"),
}


@pytest.mark.parametrize("timeout", [30, None])
@pytest.mark.parametrize("shape", SYNC)
def test_a_blocked_thread_is_woken_and_the_server_is_free(
    shape: str, timeout: float | None, fake: Endpoint, http: httpx2.Client
) -> None:
    model, known = ChatVllm(**fake.settings, timeout=timeout), len(ledger(http, fake))
    ended: list[BaseException] = []
    scope = CallGroup()

    def work() -> None:
        with scope:
            try:
                SYNC[shape](model)
            except BaseException as error:
                ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait(lambda: any(entry["tokens"] > 3 for entry in ledger(http, fake)[known:]))
    scope.end()
    thread.join(5)
    assert [error.bound for error in ended if isinstance(error, StreamDeadlineExceeded)] == [
        "caller"
    ]
    wait(lambda: ledger(http, fake)[known]["slot_freed"] is not None)
    assert len(ledger(http, fake)) == known + 1
    assert scope._ends == set()


def test_a_call_that_cannot_be_ended_does_not_stop_the_end_of_the_others() -> None:
    ended: list[str] = []

    def fails() -> None:
        raise AttributeError("no socket")

    scope = CallGroup()
    for end in (lambda: ended.append("first"), fails, lambda: ended.append("last")):
        scope.add(end)
    scope.end()
    assert sorted(ended) == ["first", "last"]


class TestMembers:
    """Which calls belong to a group, and when they are ended."""

    def test_a_call_belongs_to_the_inner_group_and_to_those_around_it(self) -> None:
        ended: list[str] = []
        with CallGroup() as outer, CallGroup() as inner:
            assert current_group() is inner
            inner.add(end := partial(ended.append, "x"))
            assert outer.has_calls
            assert inner.has_calls
            outer.end()
            assert ended == ["x"]
            inner.discard(end)
            assert not outer.has_calls
            assert not inner.has_calls
        assert current_group() is None

    def test_a_call_of_the_outer_group_does_not_belong_to_the_inner(self) -> None:
        ended: list[str] = []
        with CallGroup() as outer:
            outer.add(partial(ended.append, "outer"))
            with CallGroup() as inner:
                inner.end()
            assert current_group() is outer
        assert not ended

    @pytest.mark.parametrize("which", ["outer", "inner"])
    def test_a_call_that_begins_after_the_end_is_ended_at_once(self, which: str) -> None:
        ended: list[str] = []
        with CallGroup() as outer, CallGroup() as inner:
            (outer if which == "outer" else inner).end()
            inner.add(partial(ended.append, "x"))
        assert ended == ["x"]

    def test_a_group_that_goes_on_ends_nothing(self) -> None:
        ended: list[str] = []
        group = CallGroup()
        assert not group.has_calls
        group.add(partial(ended.append, "x"))
        assert not ended
        assert group.has_calls

    def test_a_copied_context_has_the_group_inside_the_current_one(self) -> None:
        ended: list[str] = []
        with CallGroup() as outer:
            group = CallGroup()
            context = group.context()
            assert current_group() is outer
        assert context.run(current_group) is group
        group.add(partial(ended.append, "x"))
        outer.end()
        assert ended == ["x"]

    def test_no_group_lasts_for_its_block(self) -> None:
        with CallGroup() as group:
            with contextlib.suppress(KeyError), no_group():
                assert current_group() is None
                raise KeyError
            assert current_group() is group

    def test_a_call_that_cannot_be_ended_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail() -> None:
            raise KeyError

        group = CallGroup()
        group.add(fail)
        group.end()
        [record] = caplog.records
        assert (record.name, record.levelname) == ("stream_deadline", "ERROR")
