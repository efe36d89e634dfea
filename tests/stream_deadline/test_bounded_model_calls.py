"""The calls of a bounded model, without a server, and its copies."""

import asyncio
import contextvars
import copy
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import ConfigDict, PrivateAttr

from stream_deadline import Expiry, StreamDeadlineExceeded, bounded_model, deadline
from stream_deadline import _bounded_model as module
from stream_deadline._budget import Bounds
from stream_deadline._call_group import CallGroup
from stream_deadline._connection import current_tracker
from stream_deadline._http_clients import http_clients
from stream_deadline._transport import DeadlineTransport
from stream_deadline.testing import BabblingChatModel, VirtualClock, virtual_clock
from tests.stream_deadline.sources import elapsed, virtually

ENOUGH = 20.0  # seconds, wide


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A clock that the babbling model moves."""
    with virtual_clock() as clock:
        yield clock


def whole(text: str) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])


def piece(text: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def bounds_of(model: Any) -> Bounds:
    bounds: Bounds = type(model)._deadline_bounds
    return bounds


class Timed(BaseChatModel):
    """A model whose asynchronous calls take seconds of the loop's clock.

    Attributes:
        first: seconds to the first piece, or to the whole answer.
        then: seconds to the second piece.
    """

    first: float = 1.0
    then: float = 1.0

    @property
    def _llm_type(self) -> str:
        return "timed"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return whole("done")

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        await asyncio.sleep(self.first)
        return whole("done")

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.sleep(self.first)
        yield piece("one ")
        await asyncio.sleep(self.then)
        yield piece("two")


class Tracked(Timed):
    """A model that notes the tracker of each of its calls."""

    _seen: list[Any] = PrivateAttr(default_factory=list)

    def _note(self) -> None:
        tracker: Any = current_tracker()
        assert not tracker.is_done
        self._seen.append(tracker)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self._note()
        return whole("done")

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self._note()
        return whole("done")

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self._note()
        yield from (piece("one "), piece("two"))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        self._note()
        yield piece("one ")
        yield piece("two")


class TestSynchronousCalls:
    """On a clock that only the model moves."""

    def test_a_stream_ends_at_the_bound_with_what_had_arrived(
        self, clock: VirtualClock, reported: list[Expiry]
    ) -> None:
        model = bounded_model(BabblingChatModel(text="a ", pace=1.0), timeout=5)
        seen: list[str] = []
        with pytest.raises(StreamDeadlineExceeded) as caught:
            seen.extend(str(chunk.content) for chunk in model.stream("Why?"))
        assert (caught.value.bound, caught.value.limit) == ("timeout", 5)
        assert "".join(seen) == caught.value.partial.content == "a a a a "
        assert len(reported) == 1

    def test_a_stream_has_parts(self, clock: VirtualClock) -> None:
        model = bounded_model(BabblingChatModel(), 60, first_chunk_timeout=3, idle_timeout=2)
        stream: Any = model._stream([])
        assert stream._budget.due == clock() + 3
        next(stream)
        assert stream._budget.due == clock() + 2
        stream.close()

    def test_a_whole_answer_is_bounded_as_a_whole_only(self, clock: VirtualClock) -> None:
        babbling = BabblingChatModel(text="a", pace=1.0, chunks=5)
        model = bounded_model(babbling, 60, first_chunk_timeout=2, idle_timeout=2)
        assert model.invoke("Why?").content == "aaaaa"
        with pytest.raises(StreamDeadlineExceeded) as caught:
            bounded_model(babbling, 4).invoke("Why?")
        assert (caught.value.bound, caught.value.limit) == ("timeout", 4)

    def test_a_call_that_is_made_of_another_is_one_call(
        self, clock: VirtualClock, reported: list[Expiry]
    ) -> None:
        """Its whole answer is made of its own stream, which has a part."""
        calls: list[object] = []

        class Joined(BabblingChatModel):
            def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
                calls.append(type(self))
                return super()._stream(*args, **kwargs)

        model = bounded_model(Joined(pace=1.0), 4, first_chunk_timeout=0.5)
        with pytest.raises(StreamDeadlineExceeded) as caught:
            model.invoke("Why?")
        assert caught.value.bound == "timeout"
        assert len(calls) == len(reported) == 1

    def test_a_bounded_model_inside_another_has_its_own_bound(self, clock: VirtualClock) -> None:
        inner = bounded_model(BabblingChatModel(pace=1.0), timeout=3)

        class Outer(Timed):
            def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
                return whole(str(inner.invoke("Why?").content))

        with pytest.raises(StreamDeadlineExceeded) as caught:
            bounded_model(Outer(), timeout=60).invoke("Why?")
        assert caught.value.limit == 3

    def test_an_ambient_deadline_bounds_it(self, clock: VirtualClock) -> None:
        with deadline(3), pytest.raises(StreamDeadlineExceeded) as caught:
            list(bounded_model(BabblingChatModel()).stream("Why?"))
        assert (caught.value.bound, caught.value.limit) == ("deadline", 3)

    def test_a_call_that_has_ended_is_over_for_its_connections(self, clock: VirtualClock) -> None:
        model: Any = bounded_model(Tracked(), 5)
        assert model.invoke("Why?").content == "done"
        assert "".join(str(chunk.content) for chunk in model.stream("Why?")) == "one two"
        assert [tracker.is_done for tracker in model._seen] == [True, True]
        assert current_tracker() is None


class TestAsynchronousCalls:
    """On the clock of a virtual loop."""

    @virtually
    async def test_a_whole_answer_is_bounded_as_a_whole_only(self) -> None:
        bounds: dict[str, Any] = {"first_chunk_timeout": 2, "idle_timeout": 2}
        answer = await bounded_model(Timed(first=5), 60, **bounds).ainvoke("Why?")
        assert (answer.content, elapsed()) == ("done", 5)
        with pytest.raises(StreamDeadlineExceeded) as caught:
            await bounded_model(Timed(first=5), 4, **bounds).ainvoke("Why?")
        assert (caught.value.bound, caught.value.limit) == ("timeout", 4)

    @pytest.mark.parametrize(
        ("first", "then", "bound"),
        [(1, 1, None), (3, 1, "first_chunk_timeout"), (1, 5, "idle_timeout"), (1, 3, None)],
    )
    @virtually
    async def test_a_stream_has_parts(self, first: float, then: float, bound: str | None) -> None:
        model = bounded_model(
            Timed(first=first, then=then), 60, first_chunk_timeout=2, idle_timeout=4
        )
        seen: list[str] = []

        async def read() -> None:
            async for chunk in model.astream("Why?"):
                seen.append(str(chunk.content))

        if bound is None:
            await read()
            assert "".join(seen) == "one two"
        else:
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await read()
            assert caught.value.bound == bound
            assert "".join(seen) == ("one " if bound == "idle_timeout" else "")

    @virtually
    async def test_a_call_that_is_made_of_another_is_one_call(self) -> None:
        class Joined(Timed):
            async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
                return whole("".join([each.text async for each in self._astream([])]))

        model = bounded_model(Joined(first=3, then=3), 10, first_chunk_timeout=2)
        assert (await model.ainvoke("Why?")).content == "one two"

    @virtually
    async def test_a_call_that_has_ended_is_over_for_its_connections(self) -> None:
        model: Any = bounded_model(Tracked(), 5)
        assert (await model.ainvoke("Why?")).content == "done"
        assert "".join([str(each.content) async for each in model.astream("Why?")]) == "one two"
        assert [tracker.is_done for tracker in model._seen] == [True, True]
        assert current_tracker() is None

    @virtually
    async def test_a_model_without_an_asynchronous_stream_is_called_once_for_both(self) -> None:
        calls: list[object] = []

        class Synchronous(Timed):
            async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
                calls.append(self)
                return await super()._agenerate(*args, **kwargs)

        Synchronous._astream = BaseChatModel._astream  # type: ignore[method-assign]
        in_time, late = (bounded_model(Synchronous(first=first), 3) for first in (2, 9))
        assert "".join([str(each.content) async for each in in_time.astream("Why?")]) == "done"
        assert (len(calls), elapsed()) == (1, 2)
        with pytest.raises(StreamDeadlineExceeded):
            async for _ in late.astream("Why?"):
                pass
        assert len(calls) == 2
        assert elapsed() == pytest.approx(2 + 3, abs=0.1)


class Blocked(Timed):
    """A model whose wait nothing can interrupt."""

    _entered: threading.Event = PrivateAttr(default_factory=threading.Event)
    _free: threading.Event = PrivateAttr(default_factory=threading.Event)
    _left: threading.Event = PrivateAttr(default_factory=threading.Event)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self._entered.set()
        self._free.wait(ENOUGH)
        self._left.set()
        return whole("late")

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield piece("one")
        self._entered.set()
        self._free.wait(ENOUGH)
        self._left.set()
        yield piece("two")


class TestWithoutAnHttpClient:
    """The source runs in a thread of its own, since nothing can end its wait."""

    @pytest.mark.parametrize("call", ["invoke", "stream"])
    def test_the_caller_does_not_wait_for_the_source(self, call: str) -> None:
        plain = Blocked()
        model = bounded_model(plain, 60)

        def end_once_it_waits() -> None:
            assert plain._entered.wait(ENOUGH)
            group.end()

        with CallGroup() as group, ThreadPoolExecutor() as pool:
            ended = pool.submit(end_once_it_waits)
            with pytest.raises(StreamDeadlineExceeded):
                list(model.stream("Why?")) if call == "stream" else model.invoke("Why?")
            ended.result()
        assert not plain._left.is_set()
        plain._free.set()
        assert plain._left.wait(ENOUGH)

    def test_the_source_has_the_caller_s_context(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

        class Seeing(Timed):
            def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
                return whole(f"{variable.get()} {threading.current_thread().name}")

        variable.set("caller's")
        assert bounded_model(Seeing(), 60).invoke("Why?").content == "caller's bounded source"

    @pytest.mark.parametrize("kind", ["a synchronous client", "an asynchronous client", "none"])
    def test_only_a_synchronous_client_makes_a_thread_needless(self, kind: str) -> None:
        class Named(Timed):
            http_client: Any = None
            other: Any = None

            def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
                return whole(threading.current_thread().name)

        clients = {"a synchronous client": httpx2.Client(), "an asynchronous client": httpx2.AsyncClient()}  # fmt: skip
        model = bounded_model(Named(http_client=clients.get(kind)), 60)
        is_here = model.invoke("Why?").content == threading.current_thread().name
        assert is_here == (kind == "a synchronous client")


class TestReporting:
    """Which HTTP clients report to the calls of a model."""

    class Holding(Timed):
        http_client: Any = None
        _private_client: Any = PrivateAttr(default=None)

    def test_the_clients_are_looked_for_once_and_again_when_they_change(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[Any] = []

        def look(model: Any) -> list[Any]:
            looked.append(model)
            return http_clients(model)

        monkeypatch.setattr(module, "http_clients", look)
        first, second = httpx2.Client(), httpx2.Client()
        model = bounded_model(self.Holding(http_client=first), 60)
        assert not isinstance(first._transport, DeadlineTransport), "no call has begun"
        model.invoke("Why?")
        model.invoke("Why?")
        assert len(looked) == 1
        assert isinstance(first._transport, DeadlineTransport)
        model.http_client = second
        model.invoke("Why?")
        assert len(looked) == 2
        assert isinstance(second._transport, DeadlineTransport)
        model._private_client = httpx2.Client()
        model.invoke("Why?")
        assert len(looked) == 3
        asyncio.run(model.ainvoke("Why?"))
        assert len(looked) == 3

    def test_a_copy_looks_for_its_own_clients(self) -> None:
        first, second = httpx2.Client(), httpx2.Client()
        model = bounded_model(self.Holding(http_client=first), 60)
        model.invoke("Why?")
        again = bounded_model(model, 30)
        again.http_client = second
        again.invoke("Why?")
        assert isinstance(second._transport, DeadlineTransport)

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ({}, None),
            ({"model_name": "a", "model": "b", "model_id": "c"}, "a"),
            ({"model_name": None, "model": "b", "model_id": "c"}, "b"),
            ({"model_id": "c"}, "c"),
            ({"model": 3}, None),
        ],
    )
    def test_the_name_of_the_model_is_reported(
        self,
        names: dict[str, Any],
        expected: str | None,
        clock: VirtualClock,
        reported: list[Expiry],
    ) -> None:
        class Named(BabblingChatModel):
            model_config = ConfigDict(extra="allow", protected_namespaces=())

        with pytest.raises(StreamDeadlineExceeded):
            bounded_model(Named(**names), 3).invoke("Why?")
        assert [each.model for each in reported] == [expected]


class TestTheCopy:
    """What a bounded model is, beside its bounds."""

    def test_its_class_is_named_after_the_original_and_made_once(self) -> None:
        class Kept(Timed):
            """A docstring."""

        one, two = bounded_model(Kept(), 5), bounded_model(Kept(first=2), 5)
        assert type(one) is type(two)
        assert type(bounded_model(Kept(), 6)) is not type(one)
        assert (type(one).__name__, type(one).__module__) == ("BoundedKept", Kept.__module__)
        assert type(one).__doc__ == "A docstring."
        assert bounds_of(one) == Bounds(5)
        assert two.first == 2

    def test_it_keeps_all_three_bounds_and_the_newest_ones(self) -> None:
        model = bounded_model(Timed(), 5, first_chunk_timeout=4, idle_timeout=3)
        assert bounds_of(model) == Bounds(5, 4, 3)
        newer = bounded_model(model, 9)
        assert bounds_of(newer) == Bounds(9)
        assert type(newer).__mro__[2] is Timed

    def test_it_has_only_the_methods_that_its_class_has_of_its_own(self) -> None:
        class Plain(Timed):
            pass

        for name in ("_agenerate", "_stream", "_astream"):
            setattr(Plain, name, getattr(BaseChatModel, name))
        plain, timed = bounded_model(Plain(), 5), bounded_model(Timed(), 5)
        for name in ("_agenerate", "_stream", "_astream"):
            assert getattr(type(plain), name) is getattr(BaseChatModel, name)
        assert type(timed)._stream is BaseChatModel._stream
        assert type(timed)._astream is not BaseChatModel._astream
        assert type(timed)._agenerate is not BaseChatModel._agenerate

    @pytest.mark.parametrize("has_private", [True, False])
    def test_it_keeps_the_private_attributes_and_gives_them_back(self, has_private: bool) -> None:
        plain: Any = Blocked() if has_private else Timed()
        before = copy.copy(plain.__pydantic_private__)
        model = bounded_model(plain, 5)
        if has_private:
            assert model._free is plain._free
        assert plain.__pydantic_private__ == before
        _, (kept, bounds) = model.__reduce__()
        assert (type(kept), bounds) == (type(plain), Bounds(5))
        assert kept.__pydantic_private__ == before
        assert kept == plain

    def test_a_pickle_is_bounded_again(self) -> None:
        again = pickle.loads(pickle.dumps(bounded_model(Timed(first=7), 5)))
        assert bounds_of(again) == Bounds(5)
        assert again.first == 7

    def test_langchain_knows_the_original_by_the_same_string(self) -> None:
        plain = ChatOpenAI(model="m", api_key="none", base_url="http://server/v1")
        before = plain._get_llm_string(stop=["x"], seed=3)
        model = bounded_model(plain, 5)
        assert model._get_llm_string(stop=["x"], seed=3) == before
        assert plain._get_llm_string() != before
        assert not model.is_lc_serializable()
        assert model._serialized["type"] == "not_implemented", "it would be loaded unbounded"
        assert plain._serialized["type"] != "not_implemented"

    def test_a_binding_keeps_its_arguments(self) -> None:
        bound = Timed().bind(stop=["x"])
        made: Any = bounded_model(bound, 5)
        assert made.kwargs == {"stop": ["x"]}
        assert bounds_of(made.bound) == Bounds(5)
        assert type(bound.bound) is Timed
