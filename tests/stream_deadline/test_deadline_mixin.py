"""`DeadlineMixin`: its fields, its clients, its copies, and what a call is made of."""

import asyncio
import copy
import pickle
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import openai
import pytest
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import BaseModel

from stream_deadline import (
    AnswerCutShort,
    ChatVllm,
    DeadlineMixin,
    Expiry,
    StreamDeadlineExceeded,
    _raw_chunks,
)
from stream_deadline import _deadline_mixin as deadline_mixin
from stream_deadline._budget import Bounds
from stream_deadline._clients import PerLoopClient, PerProcessClient
from stream_deadline._deadline_mixin import _without_idle_manager
from tests.stream_deadline.calls import STREAMS, WHOLES
from tests.stream_deadline.in_memory import CHUNK, FAMILY, InMemory, of, sse
from tests.stream_deadline.scripted import event
from tests.stream_deadline.still_clock import machine_stands_still
from tests.stream_deadline.wrapped import Wrapped

SETTINGS: dict[str, Any] = {"model": "m", "api_key": "sk-key", "base_url": "http://gpu/v1"}
CALLS: dict[str, Callable[[Any], Any]] = {
    "invoke": WHOLES["invoke"],
    "ainvoke": WHOLES["ainvoke"],
    "stream": STREAMS["stream"],
    "astream": STREAMS["astream"],
}
by_call = pytest.mark.parametrize("call", CALLS)


class Plain(DeadlineMixin, ChatOpenAI):
    """The mixin alone, without the defaults for vLLM."""


class Keeper:
    """A wrapper that keeps what it wraps under a name that the SDK has, too."""

    def __init__(self, inner: Any) -> None:
        self._client = inner


def sdk(server: InMemory, kind: str = "sync", **settings: Any) -> Any:
    """A client of the SDK, made by the user."""
    named: dict[str, Any] = {"api_key": "k", "base_url": "http://server/v1", **settings}
    if kind == "sync":
        return openai.OpenAI(http_client=server.client(), **named)
    return openai.AsyncOpenAI(http_client=server.async_client(), **named)


def users_clients(server: InMemory, **settings: Any) -> dict[str, Any]:
    return {
        "client": sdk(server, **settings).chat.completions,
        "async_client": sdk(server, "async", **settings).chat.completions,
    }


def all_fields(model: Any, *, without: str = "") -> dict[str, Any]:
    """What LangChain's `configurable_fields` makes a copy of."""
    return {name: getattr(model, name) for name in type(model).model_fields if name != without}


# Fields


def test_a_model_is_valid_as_it_is() -> None:
    model = ChatVllm(**SETTINGS)
    assert ChatVllm.model_validate(model) is model
    assert ChatVllm.model_validate({**SETTINGS, "timeout": 45}).request_timeout == 45


def test_the_mixin_alone_makes_a_model_with_the_defaults_of_its_fields() -> None:
    model = Plain(**SETTINGS)
    assert model.request_timeout is None
    assert model.stream_timeout == "timeout"
    assert model.first_chunk_timeout is model.idle_timeout is None
    assert model.require_finish_reason
    assert model.raw_chunks
    assert not Plain.is_lc_serializable()


@pytest.mark.parametrize("name", ["timeout", "request_timeout"])
def test_the_time_out_has_two_names_in_a_subclass_with_a_default_too(name: str) -> None:
    class Own(ChatVllm):
        request_timeout: float | None = 100.0

    for kind in (ChatVllm, Own):
        assert kind(**SETTINGS, **{name: 50}).request_timeout == 50
    assert Own(**SETTINGS).request_timeout == 100


@pytest.mark.parametrize("name", ["stream_timeout", "first_chunk_timeout", "idle_timeout"])
def test_a_text_is_not_taken_for_a_number_of_seconds(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a"):
        ChatVllm(**SETTINGS, **{name: "5"})


def test_a_stream_timeout_may_be_given_as_that_of_the_call() -> None:
    assert ChatVllm(**SETTINGS, timeout=9, stream_timeout="timeout").stream_timeout == "timeout"


def test_a_part_longer_than_the_whole_is_refused_by_the_model_and_left_out_of_a_call() -> None:
    with pytest.raises(ValueError, match="could never act"):
        ChatVllm(**SETTINGS, timeout=5, idle_timeout=7)
    model = ChatVllm(**SETTINGS, timeout=45, idle_timeout=7)
    assert model._bounds({"timeout": 5}, parts=True) == Bounds(5)
    other = model.model_copy(update={"model_kwargs": {"timeout": 30}})
    assert other._bounds({}, parts=True) == Bounds(30, None, 7)


@pytest.mark.parametrize(
    "body",
    [
        {"timeout": lambda self: 45},
        {"timeout": 45.0, "__annotations__": {"timeout": float}},
        {"__annotations__": {"timeout": float}},
        {"timeout": 45.0, "__annotations__": {"timeout": ClassVar[float]}},
    ],
    ids=["method", "field", "field without a default", "of the class"],
)
def test_a_subclass_that_sets_timeout_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Wrong sets `timeout` in its body"):
        type("Wrong", (ChatVllm,), {"__module__": __name__, **body})


def test_a_base_beside_the_mixin_learns_of_its_subclasses() -> None:
    seen: list[str] = []

    class Beside:
        def __init_subclass__(cls, **more: Any) -> None:
            super().__init_subclass__(**more)
            seen.append(cls.__name__)

    class Mine(ChatVllm, Beside):
        pass

    assert seen == [Mine.__name__]


@pytest.mark.parametrize(
    ("given", "in_environment", "expected"),
    [
        ({"timeout": 45}, False, None),
        ({"timeout": 45}, True, "default"),
        ({"timeout": 45, "stream_chunk_timeout": 7.0}, False, 7.0),
        ({}, False, "default"),
    ],
)
def test_langchains_time_out_between_chunks_is_off_with_a_bound_unless_it_is_set(
    given: dict[str, Any], in_environment: bool, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "stream_chunk_timeout" not in ChatOpenAI.model_fields:
        pytest.skip("this version of langchain-openai has none")
    name = "LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S"
    monkeypatch.delenv(name, raising=False)
    if in_environment:
        monkeypatch.setenv(name, "33")
    own = ChatOpenAI(**SETTINGS).stream_chunk_timeout
    assert own is not None
    model = ChatVllm(**SETTINGS, **given)
    assert model.stream_chunk_timeout == (own if expected == "default" else expected)


# Copies


def test_a_copy_takes_the_time_out_by_its_alias_and_leaves_the_update_as_it_was() -> None:
    model = ChatVllm(**SETTINGS, timeout=45)
    update = {"timeout": 7, "temperature": 0.5}
    made = model.model_copy(update=update)
    assert (made.request_timeout, made.temperature) == (7, 0.5)
    assert "timeout" not in dict(made)
    assert update == {"timeout": 7, "temperature": 0.5}
    assert model.model_copy(update={"temperature": 0.5}).request_timeout == 45


def test_only_a_deep_copy_has_values_of_its_own() -> None:
    model = ChatVllm(**SETTINGS, tags=["one"], timeout=45)
    assert model.model_copy().tags is model.tags
    for made in (model.model_copy(deep=True), copy.deepcopy(model)):
        assert made.tags == model.tags
        assert made.request_timeout == 45
        assert made.root_client is not model.root_client


@pytest.mark.parametrize("without", ["root_client", "root_async_client"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_copy_made_of_all_fields_has_no_wish_to_stream_that_the_model_had_not(
    streaming: bool, without: str
) -> None:
    made = ChatVllm(**all_fields(ChatVllm(**SETTINGS, streaming=streaming), without=without))
    assert made.streaming is streaming
    assert ("streaming" in made.model_fields_set) is streaming


@pytest.mark.parametrize("streaming", [False, True])
def test_a_wish_of_the_user_about_streaming_is_kept(streaming: bool) -> None:
    assert "streaming" in ChatVllm(**SETTINGS, streaming=streaming).model_fields_set


def test_a_copy_made_of_all_fields_can_be_pickled() -> None:
    made = pickle.loads(pickle.dumps(ChatVllm(**all_fields(ChatVllm(**SETTINGS, timeout=45)))))
    assert made.request_timeout == 45
    assert isinstance(made.root_client._client, PerProcessClient)


def key_in_pickle(model: Any, key: str) -> bool:
    return key.encode() in pickle.dumps(model)


@pytest.mark.parametrize("without", ["root_client", "root_async_client", ""])
def test_a_pickle_has_no_key_of_the_environment_even_of_a_copy_and_a_newer_environment(
    without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-older")
    settings = {name: value for name, value in SETTINGS.items() if name != "api_key"}
    model = ChatVllm(**settings)
    made = ChatVllm(**all_fields(model, without=without))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-newer")
    for each in (model, made):
        assert not key_in_pickle(each, "sk-older")
        again = pickle.loads(pickle.dumps(each))
        assert again.openai_api_key.get_secret_value() == "sk-newer"


def test_a_pickle_has_a_key_that_was_passed_unless_the_environment_has_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = ChatVllm(**SETTINGS)
    copies = [model, ChatVllm(**all_fields(model))]
    assert all(key_in_pickle(each, "sk-key") for each in copies)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-key")
    assert not any(key_in_pickle(each, "sk-key") for each in copies)


@pytest.mark.parametrize("name", ["http_client", "http_async_client", "client", "async_client"])
def test_a_model_with_a_client_of_the_users_own_is_not_pickled(name: str) -> None:
    server = InMemory()
    given = {**server.settings, **users_clients(server)}[name]
    model = ChatVllm(**SETTINGS, **{name: given})
    with pytest.raises(TypeError, match=f"a {name} of your own cannot be pickled"):
        pickle.dumps(model)


# Clients


@pytest.mark.parametrize("given", [{}, {"http_client": None, "http_async_client": None}])
def test_a_model_without_clients_of_the_users_has_ours_and_a_copy_keeps_them(
    given: dict[str, Any],
) -> None:
    model = ChatVllm(**SETTINGS, **given)
    for each in (model, ChatVllm(**all_fields(model))):
        assert isinstance(each.root_client._client, PerProcessClient)
        assert isinstance(each.root_async_client._client, PerLoopClient)
        assert each.client._client is each.root_client
        assert each.async_client._client is each.root_async_client
        assert each.root_client._client is model.root_client._client
        assert each.root_async_client._client is model.root_async_client._client


@by_call
def test_a_client_of_the_users_is_used(call: str) -> None:
    for given in ("settings", "clients", "wrapped"):
        server = InMemory()
        clients = server.settings
        if given != "settings":
            clients = {**SETTINGS, **users_clients(server)}
        if given == "wrapped":
            clients.update({name: Wrapped(clients[name]) for name in ("client", "async_client")})
        assert CALLS[call](ChatVllm(**clients, timeout=45))
        assert len(server.requests) == 1, given


def http_2(kind: str) -> Any:
    return getattr(FAMILY, kind)(http2=True)


@pytest.mark.parametrize(
    "given",
    [
        lambda: {"http_client": http_2("Client")},
        lambda: {"http_async_client": http_2("AsyncClient")},
        lambda: {
            "client": openai.OpenAI(api_key="k", http_client=http_2("Client")).chat.completions
        },
        lambda: {
            "async_client": openai.AsyncOpenAI(
                api_key="k", http_client=http_2("AsyncClient")
            ).chat.completions
        },
        lambda: {
            "client": Wrapped(
                openai.OpenAI(api_key="k", http_client=http_2("Client")).chat.completions
            )
        },
    ],
    ids=["http_client", "http_async_client", "client", "async_client", "wrapped client"],
)
def test_a_client_of_the_users_that_speaks_http_2_is_refused(given: Callable[[], Any]) -> None:
    pytest.importorskip("h2", reason="HTTP/2 is an extra of httpx")
    with pytest.raises(ValueError, match="speaks HTTP/2"):
        ChatVllm(**SETTINGS, **given())


def test_an_unknown_synchronous_client_leaves_the_asynchronous_one_to_us() -> None:
    model = ChatVllm(**SETTINGS, client=Wrapped(sdk(InMemory()).chat.completions))
    assert model.root_client is None
    assert isinstance(model.root_async_client._client, PerLoopClient)
    assert model.async_client._client is model.root_async_client


@by_call
@pytest.mark.parametrize(
    ("kind", "retries", "expected"),
    [
        ("ours", {}, 1 + openai.DEFAULT_MAX_RETRIES),
        ("ours", {"max_retries": 0}, 1),
        ("ours", {"max_retries": 3}, 4),
        ("users", {}, 2),
        ("users", {"max_retries": 3}, 4),
        ("wrapped", {}, 2),
    ],
)
def test_a_busy_server_gets_as_many_retries_as_are_set_and_no_more(
    kind: str, retries: dict[str, Any], expected: int, call: str
) -> None:
    server = InMemory(lambda _: of(429, "busy", retry_after_ms="1"))
    settings = server.settings
    if kind != "ours":
        settings = {**SETTINGS, **users_clients(server, max_retries=1)}
    if kind == "wrapped":
        settings.update({name: Wrapped(settings[name]) for name in ("client", "async_client")})
    with pytest.raises(openai.RateLimitError):
        CALLS[call](ChatVllm(**settings, **retries, timeout=45))
    assert len(server.requests) == expected


@by_call
def test_a_refusal_with_an_absurd_time_to_retry_is_the_servers_error(call: str) -> None:
    server = InMemory(lambda _: of(429, "busy", retry_after="Fri, 31 Dec 99999 23:59:59 GMT"))
    with pytest.raises(openai.RateLimitError):
        CALLS[call](ChatVllm(**server.settings, max_retries=0, timeout=45))
    assert len(server.requests) == 1


# Calls


class Observed(Exception):
    """Ends a call where its budget is made."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds


@by_call
def test_parts_are_for_streams_only(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def budget(bounds: Bounds, *_: Any) -> Any:
        raise Observed(bounds)

    monkeypatch.setattr(deadline_mixin, "Budget", budget)
    model = ChatVllm(**SETTINGS, timeout=45, first_chunk_timeout=5, idle_timeout=7)
    with pytest.raises(Observed) as caught:
        CALLS[call](model)
    assert caught.value.bounds == (Bounds(45, 5, 7) if "stream" in call else Bounds(45))


@pytest.mark.parametrize("call", ["ainvoke", "astream"])
@pytest.mark.parametrize(
    ("own", "update", "of_call", "expected"),
    [
        ({"timeout": 45}, {}, {}, 45),
        ({"timeout": 45}, {"timeout": 7}, {}, 7),
        ({"timeout": 45}, {"timeout": None}, {}, None),
        ({"timeout": 45}, {}, {"timeout": 3}, 3),
        ({"timeout": 45}, {"timeout": 7}, {"timeout": 3}, 3),
        ({"timeout": 45}, {"timeout": 7, "model_kwargs": {"timeout": 30}}, {}, 30),
        ({"timeout": 45, "users": "plain"}, {}, {}, 45),
        ({"users": "plain"}, {}, {}, 9),
        ({"timeout": 45, "users": "wrapped"}, {}, {}, 9),
    ],
)
def test_the_time_out_of_a_request_is_the_models_newest_or_that_of_the_users_client(
    own: dict[str, Any],
    update: dict[str, Any],
    of_call: dict[str, Any],
    expected: float | None,
    call: str,
) -> None:
    server, own = InMemory(), dict(own)
    settings = server.settings
    if users := own.pop("users", None):
        settings = {**SETTINGS, **users_clients(server, timeout=9)}
    if users == "wrapped":
        settings["async_client"] = Wrapped(settings["async_client"])
        call = "ainvoke"
    model = ChatVllm(**settings, **own).model_copy(update=update)
    CALLS[call](model.bind(**of_call) if of_call else model)
    [timeouts] = server.timeouts
    assert timeouts["read"] == timeouts["connect"] == expected


@by_call
def test_only_a_call_that_blocks_its_thread_gets_what_is_left_for_its_socket(call: str) -> None:
    server = InMemory()
    CALLS[call](ChatVllm(**server.settings, timeout=45, stream_timeout=20))
    [timeouts] = server.timeouts
    if call.startswith("a"):
        assert timeouts["read"] == 45
    else:
        assert 0 < timeouts["read"] < 21


@pytest.mark.parametrize("call", ["stream", "astream"])
@pytest.mark.parametrize(
    "settings",
    [{"model_kwargs": {"response_format": {"type": "json_object"}}}, {"use_responses_api": True}],
    ids=["structured", "responses"],
)
def test_the_clock_of_a_stream_runs_while_parts_of_the_sdk_load(
    settings: dict[str, Any], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stream of a process loads them, which takes a second or more."""

    def load(client: Any) -> None:
        clock.time += 60

    monkeypatch.setattr(_raw_chunks, "hear_structured", load)
    monkeypatch.setattr(_raw_chunks, "hear_responses", load)
    server = InMemory(lambda _: of(400, "no"))
    model: Any = ChatVllm(**server.settings, **settings, timeout=45)
    with machine_stands_still() as clock, pytest.raises(StreamDeadlineExceeded) as caught:
        CALLS[call](model)
    assert (caught.value.bound, caught.value.elapsed) == ("timeout", 60)
    assert server.requests == []


@pytest.mark.parametrize("call", ["ainvoke", "astream"])
def test_a_call_that_ends_at_its_deadline_names_its_model(
    call: str, reported: list[Expiry]
) -> None:
    async def late(request: Any) -> Any:
        await asyncio.sleep(60)

    server = InMemory(late)
    name = uuid.uuid4().hex
    model = ChatVllm(**{**server.settings, "model": name}, timeout=0.05)
    with pytest.raises(StreamDeadlineExceeded):
        CALLS[call](model)
    assert [each.model for each in reported] == [name]


@pytest.mark.parametrize("call", ["stream", "astream"])
@pytest.mark.parametrize("required", [True, False])
def test_a_stream_without_a_finish_reason_is_an_error_where_one_is_required(
    required: bool, call: str
) -> None:
    choice = {"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}
    text = sse({**CHUNK, "choices": [choice]})
    server = InMemory(lambda _: of(200, text, content_type="text/event-stream"))
    model = ChatVllm(**server.settings, require_finish_reason=required, timeout=45)
    if not required:
        assert CALLS[call](model)[0].content == "Hello"
        return
    with pytest.raises(AnswerCutShort):
        CALLS[call](model)


@pytest.mark.parametrize("call", ["stream", "astream"])
def test_reasoning_comes_through_the_responses_api(call: str) -> None:
    said = event(
        "response.reasoning_text.delta", item_id="r", output_index=0, content_index=0, delta="hm"
    )
    server = InMemory(lambda _: of(200, said.decode(), content_type="text/event-stream"))
    model: Any = ChatVllm(
        **server.settings, use_responses_api=True, require_finish_reason=False, timeout=45
    )
    chunks = CALLS[call](model)
    assert any("hm" in str(each.content) + str(each.additional_kwargs) for each in chunks)


class Person(BaseModel):
    name: str


@pytest.mark.parametrize("call", ["stream", "astream"])
@pytest.mark.parametrize("where", ["call", "model"])
def test_an_answer_with_a_schema_that_has_ended_is_no_answer_cut_short(
    where: str, call: str
) -> None:
    """The SDK reads the JSON before the finish reason gets out of its stream."""
    choice = {"index": 0, "delta": {"content": '{"name'}, "finish_reason": "stop"}
    text = sse({**CHUNK, "choices": [choice]})
    server = InMemory(lambda _: of(200, text, content_type="text/event-stream"))
    model: Any = ChatVllm(**server.settings, timeout=45)
    if where == "call":
        model = model.bind(response_format=Person)
    else:
        model = model.model_copy(update={"model_kwargs": {"response_format": Person}})
    with pytest.raises(ValueError, match="Person"):
        CALLS[call](model)


@pytest.mark.parametrize("call", ["stream", "astream"])
def test_an_answer_with_a_schema_of_which_nothing_came_is_cut_short(call: str) -> None:
    server = InMemory(lambda _: of(200, ": hm\n\n", content_type="text/event-stream"))
    model: Any = ChatVllm(**server.settings, timeout=45).bind(response_format=Person)
    with pytest.raises(AnswerCutShort):
        CALLS[call](model)


@pytest.mark.parametrize("call", ["stream", "astream"])
def test_a_stream_over_an_unknown_client_of_the_users_is_let_through(call: str) -> None:
    server = InMemory()
    clients = {name: Wrapped(made) for name, made in users_clients(server).items()}
    chunks = CALLS[call](ChatVllm(**SETTINGS, **clients, timeout=45))
    assert "".join(each.content for each in chunks) == "Hello"


# What the cache knows


def key(model: Any, **call: Any) -> str:
    return str(model._get_llm_string(**call))


def changed(**settings: Any) -> Any:
    return ChatVllm(**{**SETTINGS, **settings})


@pytest.mark.parametrize(
    "other",
    [
        lambda: {"base_url": "http://other/v1"},
        lambda: {"organization": "b"},
        lambda: {"use_responses_api": True},
        lambda: {"default_headers": {"x-tenant": "b"}},
        lambda: {"default_query": {"tenant": "b"}},
        lambda: {"client": sdk(InMemory(), base_url="http://other/v1").chat.completions},
        lambda: {
            "async_client": sdk(InMemory(), "async", base_url="http://other/v1").chat.completions
        },
        lambda: {"client": Wrapped(sdk(InMemory(), base_url="http://other/v1").chat.completions)},
        lambda: {"client": Keeper(sdk(InMemory(), base_url="http://other/v1").chat.completions)},
    ],
)
def test_the_cache_tells_models_apart(other: Callable[[], dict[str, Any]]) -> None:
    assert key(changed(**other())) != key(changed()) == key(changed(timeout=45, idle_timeout=7))


def test_the_cache_knows_the_server_behind_an_http_client_of_the_users() -> None:
    server = InMemory()
    one, other = (
        changed(**{**server.settings, "base_url": address})
        for address in ("http://one/v1", "http://other/v1")
    )
    assert "http://one/v1" in key(one)
    assert key(one) != key(other)


def test_the_cache_knows_neither_bounds_nor_secrets_of_a_call() -> None:
    model = changed()
    bounds = {"timeout": 5, "stream_timeout": 4, "first_chunk_timeout": 2, "idle_timeout": 1}
    assert key(model, **bounds) == key(model)
    for name in ("extra_headers", "extra_query"):
        assert key(model, **{name: {"x": "hush"}}) != key(model)
        assert "hush" not in key(model, **{name: {"x": "hush"}})


def test_the_cache_tells_deployments_and_versions_apart() -> None:
    class BoundedAzure(DeadlineMixin, AzureChatOpenAI):
        pass

    keys = {
        BoundedAzure(
            azure_endpoint="http://127.0.0.1:9",
            api_key="none",
            azure_deployment=deployment,
            api_version=version,
        )._get_llm_string()
        for deployment in ("one", "two")
        for version in ("2024-10-21", "2025-01-01")
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"stop": ["x"]}, {"stop": ["x"]}),
        ({"run_manager": None}, {"run_manager": None}),
        ({"run_manager": "idle", "stop": []}, {"run_manager": None, "stop": []}),
        ({"run_manager": "busy", "stop": []}, {"run_manager": "busy", "stop": []}),
    ],
)
def test_a_run_manager_without_handlers_is_left_out(
    kwargs: dict[str, Any], expected: dict[str, Any]
) -> None:
    managers = {
        "idle": SimpleNamespace(handlers=[]),
        "busy": SimpleNamespace(handlers=[object()]),
        None: None,
    }

    def named(values: dict[str, Any]) -> dict[str, Any]:
        if "run_manager" not in values:
            return values
        return {**values, "run_manager": managers[values["run_manager"]]}

    assert _without_idle_manager(named(kwargs)) == named(expected)
