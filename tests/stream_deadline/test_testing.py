"""`stream_deadline.testing`: tests of what happens at a deadline take milliseconds."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from fake_vllm.testing import FakeVllm
from stream_deadline import (
    ChatVllm,
    StreamDeadlineExceeded,
    _clock,
    bounded_model,
    bounded_sync,
    deadline,
)
from stream_deadline._budget import Bounds, Budget
from stream_deadline._connection import ConnectionTracker
from stream_deadline.testing import (
    BabblingChatModel,
    VirtualClock,
    deadline_error,
    expired_deadline,
)
from stream_deadline.testing import virtual_clock as make_clock
from tests.stream_deadline.sources import elapsed, virtually

pytest_plugins = ["pytester"]

AN_HOUR = 3600.0
SOON = 20.0
"""Real seconds that a test of an hour may take on a busy machine."""


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("stall:after=3", gap=0.01, max_num_seqs=1000) as server:
        yield server


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SOON


def read(items: Any) -> list[Any]:
    return list(items)


async def read_async(items: Any) -> list[Any]:
    return [item async for item in items]


class TestBabblingChatModel:
    """It stands for a model that never comes to an end."""

    def test_a_stream_has_the_chunks_that_fit_into_the_budget(
        self, virtual_clock: VirtualClock
    ) -> None:
        model = bounded_model(BabblingChatModel(pace=1.0, text="on "), timeout=45)
        seen: list[Any] = []
        with pytest.raises(StreamDeadlineExceeded) as caught:
            seen.extend(model.stream("Why?"))
        assert caught.value.bound == "timeout"
        assert 45 <= caught.value.elapsed < 47
        assert caught.value.chunks == 44
        assert caught.value.partial.content == "on " * 44

    def test_an_asynchronous_stream_too(self, virtual_clock: VirtualClock) -> None:
        model = bounded_model(BabblingChatModel(pace=1.0), timeout=45)
        with pytest.raises(StreamDeadlineExceeded) as caught:
            asyncio.run(read_async(model.astream("Why?")))
        assert 45 <= caught.value.elapsed < 47
        assert 40 <= caught.value.chunks <= 45

    @pytest.mark.parametrize(
        "call",
        [
            lambda model: model.invoke("Why?"),
            lambda model: asyncio.run(model.ainvoke("Why?")),
            lambda model: model.batch(["Why?", "How?"]),
            lambda model: read(
                (ChatPromptTemplate.from_template("{why}") | model | StrOutputParser()).stream(
                    {"why": "?"}
                )
            ),
        ],
        ids=["invoke", "ainvoke", "batch", "chain"],
    )
    def test_other_calls_end_too(
        self, call: Callable[[Any], Any], virtual_clock: VirtualClock
    ) -> None:
        with pytest.raises(StreamDeadlineExceeded):
            call(bounded_model(BabblingChatModel(pace=1.0), timeout=AN_HOUR / 10))

    def test_it_can_come_to_an_end(self, virtual_clock: VirtualClock) -> None:
        model = bounded_model(BabblingChatModel(pace=1.0, chunks=10, text="on "), timeout=45)
        assert model.invoke("Why?").content == "on " * 10
        assert virtual_clock() - time.monotonic() > 8

    def test_without_a_virtual_clock_it_takes_its_time(self) -> None:
        model = bounded_model(BabblingChatModel(pace=0.01), timeout=0.3)
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            read(model.stream("Why?"))
        assert time.monotonic() - started >= 0.3


class TestVirtualClock:
    """Deadlines act when the clock is advanced, and not before."""

    def model(self, server: FakeVllm, **bounds: Any) -> ChatVllm:
        return ChatVllm(
            model=server.model, base_url=server.base_url, **{"timeout": AN_HOUR, **bounds}
        )

    @pytest.mark.parametrize(
        ("bounds", "bound", "later"),
        [
            ({}, "timeout", AN_HOUR),
            ({"idle_timeout": 600.0}, "idle_timeout", AN_HOUR),
            ({"idle_timeout": 600.0}, "idle_timeout", 600.1),
        ],
    )
    def test_a_synchronous_call_that_waits_ends(
        self,
        bounds: dict[str, float],
        bound: str,
        later: float,
        server: FakeVllm,
        virtual_clock: VirtualClock,
    ) -> None:
        caught: list[BaseException] = []

        def ask() -> None:
            try:
                read(self.model(server, **bounds).stream("Why?"))
            except StreamDeadlineExceeded as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        server.wait_for(lambda entry: entry.tokens and not entry.over, SOON)
        thread.join(0.2)
        assert thread.is_alive()
        virtual_clock.advance(later)
        thread.join(SOON)
        [error] = caught
        assert isinstance(error, StreamDeadlineExceeded)
        assert error.bound == bound

    def test_an_asynchronous_call_that_waits_ends(
        self, server: FakeVllm, virtual_clock: VirtualClock
    ) -> None:
        async def ask() -> None:
            task = asyncio.create_task(read_async(self.model(server).astream("Why?")))
            await asyncio.sleep(0.3)
            assert not task.done()
            virtual_clock.advance(AN_HOUR)
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await task
            assert isinstance(caught.value.partial, AIMessageChunk)

        asyncio.run(ask())

    def test_a_block_that_is_cancelled_at_its_deadline_ends(
        self, virtual_clock: VirtualClock
    ) -> None:
        async def wait() -> None:
            async with deadline(AN_HOUR, cancel=True):
                asyncio.get_running_loop().call_later(
                    0.05, lambda: virtual_clock.advance(AN_HOUR + 1)
                )
                await asyncio.sleep(AN_HOUR)

        with pytest.raises(StreamDeadlineExceeded):
            asyncio.run(wait())

    def test_an_ambient_deadline_passes(self, virtual_clock: VirtualClock) -> None:
        with deadline(30) as due:
            virtual_clock.advance(29)
            assert not due.expired
            assert read(bounded_sync([1, 2])) == [1, 2]
            virtual_clock.advance(2)
            assert due.expired
            with pytest.raises(StreamDeadlineExceeded):
                read(bounded_sync([1, 2]))

    @pytest.mark.parametrize("uptime", [0.3, 65_000.1, 3e6 + 1 / 3])
    def test_whole_seconds_are_exact(self, uptime: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.monotonic", lambda: uptime)
        with make_clock() as clock, deadline(1000) as budget:
            clock.advance(999)
            assert budget.remaining() == 1
        assert 0 <= uptime + 999 - clock() < 0.001

    def test_time_does_not_go_back(self, virtual_clock: VirtualClock) -> None:
        with pytest.raises(ValueError, match="can only be advanced"):
            virtual_clock.advance(-1)

    def test_afterwards_the_machines_clock_holds_again(self) -> None:
        with make_clock() as clock:
            clock.advance(AN_HOUR)
        with deadline(60) as due:
            assert 0 < due.remaining() <= 60
            assert read(bounded_sync([1])) == [1]


def test_under_an_expired_deadline_no_request_leaves(server: FakeVllm) -> None:
    before = len(server.requests)
    with expired_deadline(), pytest.raises(StreamDeadlineExceeded):
        ChatVllm(model=server.model, base_url=server.base_url).invoke("Why?")
    assert len(server.requests) == before


def test_the_error_for_a_mock_looks_like_a_real_one() -> None:
    error = deadline_error("idle_timeout", 10, "The answer is")
    assert (error.bound, error.limit, error.chunks) == ("idle_timeout", 10, 3)
    assert error.partial.content == "The answer is"
    assert "idle_timeout=10" in str(error)
    assert deadline_error().partial is None


def test_an_error_for_a_mock_has_the_defaults_of_a_call_that_said_nothing() -> None:
    error = deadline_error()
    assert (error.bound, error.limit, error.elapsed) == ("timeout", 45.0, 45.0)
    assert (error.chunks, error.partial) == (0, None)
    said = deadline_error(text="")
    assert (said.chunks, said.partial.content) == (0, "")


def test_a_model_that_babbles_has_defaults_and_takes_part_in_chains() -> None:
    model = BabblingChatModel()
    assert (model.text, model.pace, model.chunks) == ("and so on ", 1.0, None)
    assert model._llm_type == "babbling"
    assert model.bind_tools([]) is model


@pytest.mark.parametrize("is_async", [False, True])
def test_a_model_that_babbles_moves_a_virtual_clock_by_its_pace(
    is_async: bool, virtual_clock: VirtualClock
) -> None:
    model = BabblingChatModel(pace=AN_HOUR, chunks=3, text="on ")
    before = virtual_clock()
    if is_async:
        chunks = asyncio.run(read_async(model.astream("Why?")))
    else:
        chunks = read(model.stream("Why?"))
    assert [each.content for each in chunks if each.content] == ["on "] * 3
    assert virtual_clock() - before == pytest.approx(3 * AN_HOUR)
    if is_async:
        assert asyncio.run(model.ainvoke("Why?")).content == "on on on "
    else:
        assert model.invoke("Why?").content == "on on on "
    assert virtual_clock() - before == pytest.approx(6 * AN_HOUR)


def test_a_model_that_babbles_waits_on_the_machines_clock() -> None:
    model = BabblingChatModel(pace=0.05, chunks=3)
    for call in (
        lambda: model.invoke("Why?"),
        lambda: read(model.stream("Why?")),
        lambda: asyncio.run(model.ainvoke("Why?")),
    ):
        started = time.monotonic()
        call()
        assert time.monotonic() - started >= 0.14


def test_a_model_that_babbles_ends_with_the_call_that_it_is_a_part_of(
    virtual_clock: VirtualClock,
) -> None:
    tracker = ConnectionTracker(Budget(Bounds(60.0), virtual_clock), blocking=True)
    model = BabblingChatModel(pace=1.0, text="on ")
    said = tracker.context().run(lambda: read(model.stream("Why?")))
    assert 59 <= len([each for each in said if each.content]) <= 60


def test_a_clock_that_stands_may_be_advanced_by_nothing() -> None:
    clock = VirtualClock()
    before = clock()
    assert abs(before - time.monotonic()) < SOON
    clock.advance(0)
    assert clock() == before
    clock.advance(2.5)
    assert clock() == before + 2.5


@virtually
async def test_a_model_that_babbles_for_hours_takes_no_time_of_the_loop(
    virtual_clock: VirtualClock,
) -> None:
    model = BabblingChatModel(pace=AN_HOUR, chunks=3)
    assert len(await read_async(model.astream("Why?"))) >= 3
    assert elapsed() < 0.1


def test_a_clock_that_is_advanced_wakes_at_once_what_waits_for_it(
    virtual_clock: VirtualClock,
) -> None:
    seen: list[float] = []
    began = virtual_clock()
    _clock.notify_of_jumps(lambda: seen.append(virtual_clock() - began))
    virtual_clock.advance(2.5)
    assert seen == [2.5]


def test_the_plugin_gives_the_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from stream_deadline import StreamDeadlineExceeded, bounded_model, bounded_sync
        from stream_deadline.testing import BabblingChatModel

        def test_time_passes(virtual_clock):
            with pytest.raises(StreamDeadlineExceeded):
                bounded_model(BabblingChatModel(), timeout=45).invoke("Why?")

        def test_it_is_over(expired_deadline):
            with pytest.raises(StreamDeadlineExceeded):
                list(bounded_sync([1]))
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
