"""`bounded_model` and `DeadlineMixin`: a deadline for chat models that are not `ChatVllm`."""

import asyncio
import copy
import pickle
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from fake_vllm.testing import FakeVllm
from stream_deadline import (
    ChatVllm,
    DeadlineMixin,
    Expiry,
    StreamDeadlineExceeded,
    bounded_model,
    deadline,
)
from tests.at_once import at_once

LIMIT = 2.0  # many models and event loops begin at once
LATEST = 6.0
BABBLING = ["endless", "stall:after=3", "endless+keep_alive", "no_headers", "half_event"]


def chat_openai(server: FakeVllm, scenario: str, name: str) -> ChatOpenAI:
    return ChatOpenAI(
        model=server.model,
        base_url=server.base_url,
        api_key="none",
        timeout=60,
        default_headers={"x-fake-scenario": scenario, "x-request-id": name},
    )


def azure(server: FakeVllm, scenario: str, name: str) -> Any:
    """Return Azure's model; its addresses have a deployment in them, which the fake has not."""

    class BoundedAzure(DeadlineMixin, AzureChatOpenAI):
        pass

    def to_the_fake(request: Any) -> None:
        assert "/deployments/" in request.url.path
        request.url = request.url.copy_with(path="/v1/chat/completions")

    async def to_the_fake_async(request: Any) -> None:
        to_the_fake(request)

    return BoundedAzure(
        azure_endpoint=server.base_url.removesuffix("/v1"),
        api_version="2024-10-21",
        api_key="none",
        timeout=LIMIT,
        azure_deployment=server.model,
        model=server.model,
        http_client=openai.DefaultHttpxClient(event_hooks={"request": [to_the_fake]}),
        http_async_client=openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [to_the_fake_async]}
        ),
        default_headers={"x-fake-scenario": scenario, "x-request-id": name},
    )


def read_stream(model: Any) -> None:
    for _ in model.stream("Why?"):
        pass


def read_astream(model: Any) -> None:
    async def read() -> None:
        async for _ in (ChatPromptTemplate.from_template("{why}") | model).astream({"why": "?"}):
            pass

    asyncio.run(read())


CALLS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda model: model.invoke("Why?"),
    "ainvoke": lambda model: asyncio.run(model.ainvoke("Why?")),
    "stream": read_stream,
    "chain.astream": read_astream,
}


def judge(server: FakeVllm, name: str, started: float) -> None:
    """Check when the caller and the server were free, and that there was one generation."""
    assert LIMIT - 0.05 <= time.monotonic() - started < LIMIT + LATEST
    entry = server.wait_for(
        lambda entry: name in entry.id and (entry.slot_freed or entry.over) is not None, LATEST
    )
    assert (entry.slot_freed or entry.over or 0) - started < LIMIT + LATEST
    assert len([each for each in server.requests if name in each.id]) == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scenario", BABBLING)
@at_once
def test_a_call_ends_at_its_deadline_and_frees_the_server(
    scenario: str, call: str, server: FakeVllm
) -> None:
    name = uuid.uuid4().hex
    model = bounded_model(chat_openai(server, scenario, name), timeout=LIMIT)
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        CALLS[call](model)
    assert (caught.value.bound, caught.value.limit) == ("timeout", LIMIT)
    judge(server, name, started)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scenario", BABBLING)
@at_once
def test_a_subclass_with_the_mixin_ends_at_its_deadline(
    scenario: str, call: str, server: FakeVllm
) -> None:
    name = uuid.uuid4().hex
    model = azure(server, scenario, name)
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        CALLS[call](model)
    assert caught.value.limit == LIMIT
    judge(server, name, started)


@pytest.mark.parametrize("call", ["invoke", "stream"])
def test_the_sdks_retries_end_with_the_budget(call: str, server: FakeVllm) -> None:
    model = bounded_model(
        chat_openai(server, "refuse:status=503,times=99,retry_after=30", uuid.uuid4().hex), 2.0
    )
    started = time.monotonic()
    with pytest.raises(Exception, match="503"):
        CALLS[call](model)
    assert time.monotonic() - started < 2.0 + LATEST


@pytest.mark.parametrize("bounds", [{"timeout": 0.5}, {"first_chunk_timeout": 0.5}])
def test_the_sdk_does_not_pause_for_a_retry_after_the_end(
    bounds: dict[str, float], server: FakeVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would sleep where nothing can wake it, and the caller would wait for that."""
    pauses: list[float] = []
    monkeypatch.setattr(
        "openai._base_client.SyncAPIClient._sleep_for_retry",
        lambda *args, **kwargs: pauses.append(1.0),
    )
    model = bounded_model(chat_openai(server, "no_headers", uuid.uuid4().hex), **bounds)
    with pytest.raises(StreamDeadlineExceeded):
        read_stream(model)
    assert pauses == []


@pytest.mark.parametrize(
    ("scenario", "bound"),
    [("stall:after=3", "idle_timeout"), ("no_headers", "first_chunk_timeout")],
)
@pytest.mark.parametrize("call", ["stream", "chain.astream"])
def test_a_part_ends_a_stream(call: str, scenario: str, bound: str, server: FakeVllm) -> None:
    model = bounded_model(
        chat_openai(server, scenario, uuid.uuid4().hex),
        timeout=60,
        first_chunk_timeout=1.5,
        idle_timeout=1.0,
    )
    with pytest.raises(StreamDeadlineExceeded) as caught:
        CALLS[call](model)
    assert caught.value.bound == bound


def test_the_error_has_the_partial_answer(server: FakeVllm) -> None:
    model = bounded_model(chat_openai(server, "stall:after=3", uuid.uuid4().hex), timeout=LIMIT)
    with pytest.raises(StreamDeadlineExceeded) as caught:
        read_stream(model)
    assert isinstance(caught.value.partial, AIMessageChunk)
    assert caught.value.partial.content


def test_an_ambient_deadline_bounds_it_without_a_bound_of_its_own(server: FakeVllm) -> None:
    model = bounded_model(chat_openai(server, "endless", uuid.uuid4().hex))
    with deadline(0.4), pytest.raises(StreamDeadlineExceeded) as caught:
        model.invoke("Why?")
    assert (caught.value.bound, caught.value.limit) == ("deadline", 0.4)


def test_the_original_is_not_bounded(server: FakeVllm) -> None:
    original = chat_openai(server, "finite:tokens=30", uuid.uuid4().hex)
    with pytest.raises(StreamDeadlineExceeded):
        bounded_model(original, timeout=0.1).invoke("Why?")
    assert original.invoke("Why?").content


def _tool(city: str) -> str:
    """Tell the weather."""
    return city


class TestCopies:
    """A copy keeps the bounds, however it is made."""

    @pytest.fixture
    def model(self, server: FakeVllm) -> ChatOpenAI:
        return bounded_model(chat_openai(server, "endless", uuid.uuid4().hex), timeout=0.4)

    @pytest.mark.parametrize(
        "made",
        [
            copy.copy,
            lambda model: model.model_copy(update={"temperature": 0.5}),
            lambda model: model.bind(stop=["x"]),
            lambda model: model.bind_tools([_tool]),
            lambda model: model.with_retry(stop_after_attempt=1),
            lambda model: model.configurable_fields(
                temperature=ConfigurableField(id="t")
            ).with_config(configurable={"t": 0.5}),
            lambda model: bounded_model(model.bind(stop=["x"]), timeout=0.4),
        ],
        ids=["copy", "model_copy", "bind", "bind_tools", "with_retry", "configurable", "binding"],
    )
    def test_it_is_bounded(self, made: Callable[[Any], Any], model: ChatOpenAI) -> None:
        with pytest.raises(StreamDeadlineExceeded) as caught:
            made(model).invoke("Why?")
        assert caught.value.limit == 0.4

    def test_a_copy_with_another_client_is_bounded_on_that(self, server: FakeVllm) -> None:
        name = uuid.uuid4().hex
        model = bounded_model(chat_openai(server, "finite:tokens=2", uuid.uuid4().hex), 0.5)
        model.invoke("Why?")
        other = chat_openai(server, "endless", name)
        fields = {"client": other.client, "root_client": other.root_client}
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            model.model_copy(update=fields).invoke("Why?")
        assert time.monotonic() - started < 0.5 + LATEST
        server.wait_for(lambda entry: name in entry.id and entry.slot_freed is not None, LATEST)

    def test_the_newest_bounds_hold(self, model: ChatOpenAI) -> None:
        newer = bounded_model(model, timeout=0.2)
        assert type(newer).__mro__[2] is ChatOpenAI
        with pytest.raises(StreamDeadlineExceeded, match=r"timeout=0\.2"):
            newer.invoke("Why?")

    def test_it_is_still_a_model_of_its_class(self, model: ChatOpenAI) -> None:
        assert isinstance(model, ChatOpenAI)
        assert model._llm_type == "openai-chat"
        assert not model.is_lc_serializable()

    def test_a_chat_vllm_can_be_bounded_more_tightly(self, server: FakeVllm) -> None:
        own = ChatVllm(model=server.model, base_url=server.base_url, timeout=60)
        with pytest.raises(StreamDeadlineExceeded, match=r"timeout=0\.3"):
            read_stream(bounded_model(own, timeout=0.3))

    def test_a_pickle_keeps_the_bounds(self) -> None:
        model = bounded_model(Canned(), timeout=0.3)
        again = pickle.loads(pickle.dumps(model))
        assert isinstance(again, Canned)
        with pytest.raises(StreamDeadlineExceeded, match=r"timeout=0\.3"):
            again.invoke("Why?")


class Canned(BaseChatModel):
    """A model without an HTTP client, whose wait nothing can interrupt."""

    seconds: float = 3.0

    @property
    def _llm_type(self) -> str:
        return "canned"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        time.sleep(self.seconds)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="done"))])


class CannedStream(Canned):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for word in ("one ", "two "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        time.sleep(self.seconds)
        yield ChatGenerationChunk(message=AIMessageChunk(content="three"))


class TestModelsWithoutHttpx:
    """Without httpx the caller gets the error on time; the server's part is not promised."""

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("kind", [Canned, CannedStream])
    def test_the_caller_gets_the_error_on_time(self, kind: type[Canned], call: str) -> None:
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            CALLS[call](bounded_model(kind(seconds=8.0), timeout=0.4))
        # asyncio.run waits for the threads of its executor, in which LangChain makes the call.
        if call in ("invoke", "stream"):
            assert time.monotonic() - started < 4.0

    def test_the_error_has_the_partial_answer(self) -> None:
        model = bounded_model(CannedStream(), timeout=0.4)
        seen: list[Any] = []
        with pytest.raises(StreamDeadlineExceeded) as caught:
            seen.extend(chunk.content for chunk in model.stream("Why?"))
        assert seen == ["one ", "two "]
        assert caught.value.partial.content == "one two "

    def test_an_answer_in_time_is_the_same(self) -> None:
        model = bounded_model(CannedStream(seconds=0.01), timeout=30)
        assert [c.content for c in model.stream("Why?") if c.content] == ["one ", "two ", "three"]
        assert model.invoke("Why?").content == "done"

    def test_a_call_that_is_made_of_another_is_bounded_and_reported_once(
        self, reported: list[Expiry]
    ) -> None:
        class Joined(CannedStream):
            def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
                text = "".join(chunk.text for chunk in self._stream(*args, **kwargs))
                return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])

        with pytest.raises(StreamDeadlineExceeded):
            bounded_model(Joined(seconds=1.0), timeout=0.3).invoke("Why?")
        time.sleep(1.0)  # until the source returns
        assert len(reported) == 1

    def test_only_a_synchronous_client_counts_for_a_synchronous_call(self) -> None:
        class Mixed(Canned):
            async_client: Any = None

        model = bounded_model(Mixed(seconds=8.0, async_client=httpx2.AsyncClient()), timeout=0.4)
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            model.invoke("Why?")
        assert time.monotonic() - started < 4.0

    def test_an_error_of_the_model_stays_what_it_is(self) -> None:
        class Broken(Canned):
            def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
                raise LookupError("no such model")

        with pytest.raises(LookupError, match="no such model"):
            bounded_model(Broken(), timeout=30).invoke("Why?")

    def test_no_thread_is_left_when_the_consumer_stops_early(self) -> None:
        before = set(threading.enumerate())
        model = bounded_model(CannedStream(seconds=0.05), timeout=30)
        for _ in model.stream("Why?"):
            break
        end = time.monotonic() + LATEST
        while set(threading.enumerate()) - before:
            assert time.monotonic() < end
            time.sleep(0.01)

    def test_a_source_that_is_faster_than_its_consumer_is_not_read_to_its_end(self) -> None:
        made: list[int] = []
        before = set(threading.enumerate())

        class Babbling(Canned):
            def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
                for number in range(100_000):
                    made.append(number)
                    yield ChatGenerationChunk(message=AIMessageChunk(content="x"))

        stream = bounded_model(Babbling(), timeout=1.0).stream("Why?")
        next(stream)
        time.sleep(0.2)
        assert len(made) < 100
        stream.close()  # type: ignore[attr-defined]
        end = time.monotonic() + LATEST
        while set(threading.enumerate()) - before:
            assert time.monotonic() < end
            time.sleep(0.01)


class TestWhatIsRefused:
    """One sentence each."""

    @pytest.mark.parametrize(
        "thing",
        [object(), ChatPromptTemplate.from_template("x") | GenericFakeChatModel(messages=iter([]))],
    )
    def test_other_things_than_chat_models(self, thing: Any) -> None:
        with pytest.raises(TypeError, match="bounded_model bounds chat models of LangChain"):
            bounded_model(thing, timeout=1)

    @pytest.mark.parametrize("bound", [0, -1, float("nan"), "5", True])
    def test_a_bound_that_is_none(self, bound: Any) -> None:
        with pytest.raises(ValueError, match="timeout must be a"):
            bounded_model(Canned(), timeout=bound)


def test_a_pickle_of_a_bounded_model_has_the_plain_one_as_it_was() -> None:
    plain = ChatOpenAI(model="m", api_key="none", base_url="http://server/v1")
    reduced = bounded_model(plain, 5).__reduce__()
    assert isinstance(reduced, tuple)
    kept = reduced[1][0]
    assert type(kept) is ChatOpenAI
    assert kept.__pydantic_private__ == plain.__pydantic_private__
