"""`ChatVllm` can replace `ChatOpenAI`: its fields, keys, sockets, clients, proxies, cookies."""

import asyncio
import copy
import pickle
import socket
import time
from collections.abc import Callable, Generator
from typing import Any

import openai
import pytest
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI
from openai.resources.chat.completions import Completions

from stream_deadline import ChatVllm, StreamDeadlineExceeded
from tests.at_once import at_once
from tests.stream_deadline.calls import STREAMS, WHOLES
from tests.stream_deadline.in_memory import FAMILY
from tests.stream_deadline.scripted import Answer, Request, Scripted, delta, of_json, stream, whole
from tests.stream_deadline.wrapped import Wrapped

LIMIT = 0.8
HAS_OPTIONS = "http_socket_options" in ChatOpenAI.model_fields
by_call = pytest.mark.parametrize("call", ["invoke", "ainvoke", "stream", "astream"])


def either(request: Request) -> Answer:
    """A stream or a whole answer, as it is asked for."""
    return stream(delta("Hello", finish="stop")) if request.body.get("stream") else whole()


def ask(call: str, model: Any) -> Any:
    return (STREAMS.get(call) or WHOLES[call])(model)


# Fields


@pytest.mark.parametrize("name", ChatOpenAI.model_fields)
def test_each_field_is_as_in_the_parent(name: str) -> None:
    ours, theirs = ChatVllm.model_fields[name], ChatOpenAI.model_fields[name]
    assert ours.annotation == theirs.annotation
    assert ours.default == theirs.default or ours.default is theirs.default
    assert ours.default_factory == theirs.default_factory
    assert (ours.alias, ours.is_required(), ours.metadata) == (
        theirs.alias,
        theirs.is_required(),
        theirs.metadata,
    )


def test_every_public_name_is_there_and_accepts_as_much() -> None:
    assert set(dir(ChatOpenAI)) <= set(dir(ChatVllm))


# Keys


def keys(server: Scripted) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in server.requests]


@by_call
def test_a_key_may_come_from_a_function_at_each_call(call: str) -> None:
    if openai.VERSION < "3" and "Callable" not in str(
        ChatOpenAI.model_fields["openai_api_key"].annotation
    ):
        pytest.skip("langchain-openai 0.3 takes no callable key")
    made = iter("abc")
    with Scripted(either) as server:
        model = ChatVllm(**{**server.settings, "api_key": lambda: next(made)})
        for _ in range(3):
            ask(call, model)
    assert keys(server) == ["a", "b", "c"]


@pytest.mark.parametrize("call", ["ainvoke", "astream"])
def test_a_key_may_come_from_a_coroutine(call: str) -> None:
    if "Callable" not in str(ChatOpenAI.model_fields["openai_api_key"].annotation):
        pytest.skip("langchain-openai 0.3 takes no callable key")
    made = iter("abc")

    async def key() -> str:
        await asyncio.sleep(0)
        return next(made)

    with Scripted(either) as server:
        model = ChatVllm(**{**server.settings, "api_key": key})
        for each in (model, copy.deepcopy(model).model_copy(), model):
            ask(call, each)
        with pytest.raises(ValueError, match="Sync client is not available"):
            model.invoke("Why?")
    assert keys(server) == ["a", "b", "c"]


def test_the_time_to_get_a_key_counts() -> None:
    if "Callable" not in str(ChatOpenAI.model_fields["openai_api_key"].annotation):
        pytest.skip("langchain-openai 0.3 takes no callable key")

    async def key() -> str:
        await asyncio.sleep(30)
        return "late"

    with Scripted(either) as server, pytest.raises(StreamDeadlineExceeded):
        ask("ainvoke", ChatVllm(**{**server.settings, "api_key": key, "timeout": LIMIT}))
    assert not server.requests


def configured(model: ChatVllm) -> Any:
    made: Any = model.configurable_fields(temperature=ConfigurableField(id="t")).with_config(
        configurable={"t": 0.5}
    )
    return made.prepare()[0]


SAME: dict[str, Callable[[ChatVllm], Any]] = {
    "itself": lambda model: model,
    "copy": lambda model: model.model_copy(update={"temperature": 0.5}),
    "deep copy": copy.deepcopy,
    "configured": configured,
    "bound": lambda model: model.bind(stop=["x"]),
    "twice": lambda model: configured(configured(model)),
}


@pytest.mark.parametrize("same", SAME)
@pytest.mark.parametrize("then", ["the same", "another", None])
def test_a_key_of_the_environment_is_never_pickled(
    then: str | None, same: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    thing = SAME[same](ChatVllm(model="m", base_url="http://gpu/v1"))
    if then == "another":
        monkeypatch.setenv("OPENAI_API_KEY", "sk-newer")
    elif then is None:
        monkeypatch.delenv("OPENAI_API_KEY")
    data = pickle.dumps(thing)
    assert b"sk-environment" not in data
    again = pickle.loads(data)
    model = getattr(again, "bound", again)
    expected = {"the same": "sk-environment", "another": "sk-newer", None: "vllm-only-base-model"}[
        then
    ]
    assert model.root_client.api_key == model.root_async_client.api_key == expected


def test_an_explicit_key_is_pickled() -> None:
    again = pickle.loads(pickle.dumps(ChatVllm(model="m", api_key="k")))
    assert again.root_client.api_key == "k"


# Sockets


def option(connection: Any, level: int, name: int) -> int:
    return int(connection.getsockopt(level, name))


OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.IPPROTO_TCP, 4),
    (socket.IPPROTO_TCP, 5),
    (socket.IPPROTO_TCP, 18),
]


def sockets(kind: type[ChatOpenAI], server: Scripted, **more: Any) -> tuple[list[int], list[int]]:
    """The socket options of a model's synchronous and asynchronous connections."""
    seen: list[Any] = []
    model = kind(**{**server.settings, **more})
    model.invoke("Why?")

    async def main() -> None:
        await model.ainvoke("Why?")
        found = model.root_async_client._client
        pool = (found._mine() if hasattr(found, "_mine") else found)._transport._pool
        stream = pool.connections[0]._connection._network_stream
        seen.append([option(stream.get_extra_info("socket"), *each) for each in OPTIONS])

    asyncio.run(main())
    found: Any = model.root_client._client
    pool = (found._mine() if hasattr(found, "_mine") else found)._transport._pool
    stream = pool.connections[0]._connection._network_stream
    return [option(stream.get_extra_info("socket"), *each) for each in OPTIONS], seen[0]


@pytest.mark.parametrize(
    "asked", [None, [], [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, 4, 33)]]
)
def test_sockets_are_kept_alive_as_in_the_parent(asked: Any) -> None:
    if asked is not None and not HAS_OPTIONS:
        pytest.skip("this langchain-openai has no http_socket_options")
    more = {} if asked is None else {"http_socket_options": asked}
    with Scripted(either) as server:
        assert sockets(ChatVllm, server, **more) == sockets(ChatOpenAI, server, **more)


# Clients of the user's own


def of_a_user(server: Scripted, **options: Any) -> tuple[Any, Any]:
    settings: dict[str, Any] = {
        "base_url": server.base_url,
        "api_key": "k",
        "timeout": 30,
        **options,
    }
    return openai.OpenAI(**settings).chat.completions, openai.AsyncOpenAI(
        **settings
    ).chat.completions


WAYS: dict[str, Callable[[Any], Any]] = {"plain": lambda resource: resource, "wrapped": Wrapped}


@by_call
@pytest.mark.parametrize("way", WAYS)
@at_once
def test_the_deadline_holds_over_a_client_of_the_users(way: str, call: str) -> None:
    def silent(request: Request) -> Answer:
        return (
            stream(delta("Hello"), done=False, stalls=True)
            if request.body.get("stream")
            else Answer([b" "], stalls=True)
        )

    with Scripted(silent) as server:
        client, async_client = (WAYS[way](each) for each in of_a_user(server))
        model = ChatVllm(model="m", client=client, async_client=async_client, timeout=LIMIT)
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            ask(call, model)
        assert time.monotonic() - started < 5
        assert server.requests[-1].left.wait(5)


@by_call
def test_its_own_retries_start_no_second_generation(call: str) -> None:
    with Scripted(of_json({"error": {"message": "gateway"}}, 504)) as server:
        client, async_client = of_a_user(server, max_retries=2)
        with pytest.raises(openai.InternalServerError):
            ask(call, ChatVllm(model="m", client=client, async_client=async_client, timeout=20))
    assert len(server.requests) == 1


@by_call
@pytest.mark.parametrize("name", ["http_client", "root_client"])
def test_an_http_client_with_http2_is_refused_when_the_model_is_made(name: str, call: str) -> None:
    is_async = call.startswith("a")
    http: Any = openai.DefaultAsyncHttpxClient() if is_async else openai.DefaultHttpxClient()
    http._transport._pool._http2 = True  # as http2=True does, which needs the package h2
    settings: dict[str, Any] = {"api_key": "k", "base_url": "http://gpu/v1"}
    if name == "http_client":
        given: dict[str, Any] = {"http_async_client" if is_async else "http_client": http}
    elif is_async:
        given = {"async_client": openai.AsyncOpenAI(**settings, http_client=http).chat.completions}
    else:
        given = {"client": openai.OpenAI(**settings, http_client=http).chat.completions}
    with pytest.raises(ValueError, match="HTTP/2"):
        ChatVllm(model="m", **settings, **given)


def test_a_resource_of_a_subclass_is_used_as_it_is() -> None:
    class Counting(Completions):
        calls = 0

        def create(self, *args: Any, **kwargs: Any) -> Any:
            Counting.calls += 1
            return super().create(*args, **kwargs)

    with Scripted(either) as server:
        model = ChatVllm(
            model="m",
            client=Counting(openai.OpenAI(base_url=server.base_url, api_key="k")),
            timeout=20,
        )
        assert next(iter(list(model.stream("Why?")))).content == "Hello"
        model.invoke("Why?")
    assert Counting.calls == 2


# Proxies. The server stands for the proxy as well: what it is asked for tells which one it was.


def proxied(server: Scripted) -> list[bool]:
    return [request.target.startswith("http://gpu.invalid/v1/") for request in server.requests]


@pytest.mark.parametrize("again", [False, True])
def test_a_model_with_a_proxy_is_pickled_and_serves_two_event_loops(
    again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Scripted(either) as server:
        model = ChatVllm(
            **{**server.settings, "base_url": "http://gpu.invalid/v1", "openai_proxy": server.root}
        )
        if again:
            model = pickle.loads(pickle.dumps(copy.deepcopy(model)))
        for call in ("ainvoke", "astream", "ainvoke", "invoke", "stream"):
            ask(call, model)
    assert proxied(server) == [True] * 5


@by_call
@at_once
def test_the_deadline_holds_through_a_proxy(call: str) -> None:
    with Scripted(Answer([], wait=20, hangs_up=True)) as server:
        model = ChatVllm(
            **{
                **server.settings,
                "base_url": "http://gpu.invalid/v1",
                "openai_proxy": server.root,
                "timeout": LIMIT,
            }
        )
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            ask(call, model)
        assert time.monotonic() - started < 10


@by_call
def test_no_proxy_of_the_environment_is_lost(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Scripted(either) as server:
        monkeypatch.setenv("HTTP_PROXY", server.root)
        ask(call, ChatVllm(**{**server.settings, "base_url": "http://gpu.invalid/v1"}))
    assert proxied(server) == [True]


@by_call
def test_a_host_that_needs_no_proxy_gets_none(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(either) as server:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        ask(call, ChatVllm(**server.settings))
    assert len(server.requests) == 1


# What answers beside the model


class Token(FAMILY.Auth):  # type: ignore[misc]
    """Fetches a token before each request, over the same client; its answer is a 200."""

    requires_response_body = True

    def __init__(self, url: str) -> None:
        self._url = url

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        answer = yield FAMILY.Request("GET", self._url)
        request.headers["authorization"] = "Bearer " + answer.json()["token"]
        yield request


@by_call
@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_after_a_request_for_a_token_is_retried(status: int, call: str) -> None:
    tries = iter([status])

    def answer(request: Request) -> Answer:
        if request.target == "/token":
            return of_json({"token": "t"})
        if (status := next(tries, 200)) != 200:
            return of_json({"error": {"message": "busy"}}, status, **{"retry-after": "0.01"})
        return either(request)

    with Scripted(answer) as server:
        token = Token(server.root + "/token")
        model = ChatVllm(
            **server.settings,
            http_client=openai.DefaultHttpxClient(auth=token),
            http_async_client=openai.DefaultAsyncHttpxClient(auth=token),
        )
        ask(call, model)
    assert [request.target.rpartition("/")[2] for request in server.requests] == [
        "token",
        "completions",
    ] * 2
    assert {request.headers.get("authorization") for request in server.requests[1::2]} == {
        "Bearer t"
    }


@by_call
def test_a_refused_connection_after_a_request_for_a_token_is_retried(call: str) -> None:
    with Scripted(of_json({"token": "t"})) as tokens, socket.socket() as unserved:
        unserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unserved.getsockname()[1]}/v1"
        token = Token(tokens.root + "/token")
        model = ChatVllm(
            **{**tokens.settings, "base_url": address, "max_retries": 1},
            http_client=openai.DefaultHttpxClient(auth=token),
            http_async_client=openai.DefaultAsyncHttpxClient(auth=token),
        )
        with pytest.raises(openai.APIConnectionError):
            ask(call, model)
    assert len(tokens.requests) == 2


@pytest.mark.parametrize(
    "calls", [["invoke", "stream", "invoke"], ["ainvoke", "astream", "ainvoke"]]
)
def test_a_sticky_cookie_comes_back(calls: list[str]) -> None:
    def answer(request: Request) -> Answer:
        made = either(request)
        made.headers = {**made.headers, "set-cookie": "route=gpu7; Path=/"}
        return made

    with Scripted(answer) as server:
        model = ChatVllm(**{**server.settings, "base_url": server.base_url + "/sticky" + calls[0]})
        for call in calls:
            ask(call, model)
    assert [request.headers.get("cookie") for request in server.requests] == [
        None,
        "route=gpu7",
        "route=gpu7",
    ]


def test_connections_are_used_again_within_a_loop_and_never_across_two() -> None:
    with Scripted(either) as server:
        model = ChatVllm(**server.settings)

        async def twice() -> None:
            await model.ainvoke("Why?")
            async for _ in model.astream("Why?"):
                pass

        asyncio.run(twice())
        asyncio.run(twice())
        for call in (
            "invoke",
            "invoke",
            "stream",
        ):  # the SDK gives the connection of a synchronous stream up at its end
            ask(call, model)
    assert [request.connection for request in server.requests] == [0, 0, 1, 1, 2, 2, 2]


def test_callbacks_get_each_token_and_the_whole_answer() -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    class Heard(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []
            self.ends = 0

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.tokens.append(token)

        def on_llm_end(self, *_: Any, **__: Any) -> None:
            self.ends += 1

    for call in ("stream", "astream"):
        heard = Heard()
        with Scripted(stream(delta("a"), delta("b", finish="stop"))) as server:
            ask(call, ChatVllm(**server.settings, callbacks=[heard]))
        assert ("".join(heard.tokens), heard.ends) == ("ab", 1)


USAGE_TOLD: dict[str, tuple[bool, Callable[[dict[str, Any]], Any]]] = {
    "nothing": (True, lambda settings: ChatVllm(**settings)),
    "yes": (True, lambda settings: ChatVllm(**settings, stream_usage=True)),
    "no": (False, lambda settings: ChatVllm(**settings, stream_usage=False)),
    "no, in a copy": (
        False,
        lambda settings: ChatVllm(**settings).model_copy(update={"stream_usage": False}),
    ),
    "no, for one call": (False, lambda settings: ChatVllm(**settings).bind(stream_usage=False)),
    "yes, for one call": (
        True,
        lambda settings: ChatVllm(**settings, stream_usage=False).bind(stream_usage=True),
    ),
    "no, to the server": (
        False,
        lambda settings: ChatVllm(**settings).bind(stream_options={"include_usage": False}),
    ),
}


@pytest.mark.parametrize("call", ["stream", "astream"])
@pytest.mark.parametrize("told", USAGE_TOLD)
def test_a_stream_ends_with_its_usage_by_default(told: str, call: str) -> None:
    asked, make = USAGE_TOLD[told]
    with Scripted(either) as server:
        ask(call, make(server.settings))
    assert bool((server.requests[0].body.get("stream_options") or {}).get("include_usage")) == asked
