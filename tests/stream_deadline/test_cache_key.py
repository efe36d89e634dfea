"""LangChain's cache separates servers and users, and stores no secret."""

import pickle
from typing import Any

import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage

from stream_deadline import ChatVllm
from stream_deadline._cache_key import cache_key
from tests.stream_deadline.scripted import Scripted, whole

SETTINGS: dict[str, Any] = {"model": "m", "api_key": "sk-key", "base_url": "http://gpu/v1"}


def key(model: Any, **call: Any) -> str:
    return str(model._get_llm_string(**call))


OTHERS: dict[str, dict[str, Any]] = {
    "address": {"base_url": "http://other/v1"},
    "port": {"base_url": "http://gpu:81/v1"},
    "path": {"base_url": "http://gpu/v2"},
    "scheme": {"base_url": "https://gpu/v1"},
    "query of the address": {"base_url": "http://gpu/v1?tenant=b"},
    "user of the address": {"base_url": "http://me:pw@gpu/v1"},
    "header": {"default_headers": {"x-tenant": "b"}},
    "query": {"default_query": {"tenant": "b"}},
    "organization": {"organization": "b"},
    "extra headers": {"model_kwargs": {"extra_headers": {"x-tenant": "b"}}},
    "extra query": {"model_kwargs": {"extra_query": {"tenant": "b"}}},
    "body": {"extra_body": {"adapter": "b"}},
    "model": {"model": "n"},
    "temperature": {"temperature": 0.5},
    "api": {"use_responses_api": True},
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.filterwarnings("ignore:Parameters")
def test_every_setting_that_may_change_the_answer_changes_the_key(what: str) -> None:
    assert key(ChatVllm(**SETTINGS)) != key(ChatVllm(**{**SETTINGS, **OTHERS[what]}))


def test_arguments_of_one_call_change_the_key() -> None:
    model = ChatVllm(**SETTINGS)
    keys = {
        key(model),
        key(model, stop=["x"]),
        key(model, extra_headers={"a": "1"}),
        key(model, extra_headers={"a": "2"}),
    }
    assert len(keys | {key(model, extra_query={"a": "1"}), key(model, extra_body={"a": "1"})}) == 6


async def given() -> str:
    return "sk-key"


@pytest.mark.parametrize("api_key", ["sk-key", given], ids=["both clients", "asynchronous client"])
def test_an_address_is_the_same_with_and_without_its_last_slash(api_key: Any) -> None:
    """A key that a coroutine gives leaves the model without a synchronous client."""
    one, other = (
        ChatVllm(**{**SETTINGS, "api_key": api_key, "base_url": address})
        for address in ("http://gpu/v1", "http://gpu/v1/")
    )
    assert (one.root_client is None) == (api_key is given)
    assert key(one) == key(other)


async def test_a_server_has_a_key_of_its_own_behind_a_client_of_the_user_without_an_address() -> (
    None
):
    async with openai.DefaultAsyncHttpxClient() as client:
        one, other = (
            ChatVllm(
                **{**SETTINGS, "api_key": given, "base_url": address}, http_async_client=client
            )
            for address in ("http://gpu/v1", "http://other/v1")
        )
        assert key(one) != key(other)


def test_headers_and_query_are_kept_apart_in_the_key() -> None:
    one, other = {"default_headers": {"a": "b"}}, {"default_query": {"a": "b"}}
    assert key(ChatVllm(**SETTINGS, **one)) != key(ChatVllm(**SETTINGS, **other))


SECRETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "key": ({"api_key": "hush"}, {}),
    "callable key": ({"api_key": lambda: "hush"}, {}),
    "header": ({"default_headers": {"authorization": "Bearer hush"}}, {}),
    "query": ({"default_query": {"token": "hush"}}, {}),
    "user": ({"base_url": "http://me:hush@gpu/v1"}, {}),
    "query of the address": ({"base_url": "http://gpu/v1?token=hush"}, {}),
    "extra headers": ({"model_kwargs": {"extra_headers": {"x": "hush"}}}, {}),
    "bound extra headers": ({}, {"extra_headers": {"x": "hush"}}),
    "bound extra query": ({}, {"extra_query": {"x": "hush"}}),
    "proxy": ({"openai_proxy": "http://me:hush@proxy:1"}, {}),
}


@pytest.mark.parametrize("what", SECRETS)
@pytest.mark.filterwarnings("ignore:Parameters")
def test_the_key_has_no_secret(what: str) -> None:
    options, call = SECRETS[what]
    try:
        model = ChatVllm(**{**SETTINGS, **options})
    except ValueError:
        pytest.skip("langchain-openai 0.3 takes no callable key")
    assert "hush" not in key(model, **call)


def test_a_model_made_twice_has_one_key() -> None:
    options: dict[str, Any] = {**SETTINGS, "default_headers": {"a": "1", "b": "2"}}
    turned = {**SETTINGS, "default_headers": {"b": "2", "a": "1"}}
    model = ChatVllm(**options)
    copies = [
        ChatVllm(**options),
        ChatVllm(**turned),
        model.model_copy(),
        pickle.loads(pickle.dumps(model)),
    ]
    assert {key(each) for each in copies} == {key(model)}


def test_bounds_do_not_change_the_key() -> None:
    bounds = {"timeout": 5, "stream_timeout": 4, "first_chunk_timeout": 2, "idle_timeout": 1}
    model = ChatVllm(**SETTINGS)
    assert {
        key(model, **bounds),
        key(ChatVllm(**SETTINGS, **bounds)),
        key(model.model_copy(update=bounds)),
    } == {key(model)}
    assert key(model, stop=["x"], **bounds) == key(model, stop=["x"])


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_answer_is_not_used_for_another_server(is_async: bool) -> None:
    cache = InMemoryCache()

    async def ask(server: Scripted, **bound: Any) -> Any:
        model = ChatVllm(**server.settings, cache=cache)
        return (
            await model.ainvoke("Why?", **bound) if is_async else model.invoke("Why?", **bound)
        ).content

    with Scripted(whole("one")) as one, Scripted(whole("two")) as two:
        assert [
            await ask(one),
            await ask(two),
            await ask(one, timeout=3),
            await ask(two, idle_timeout=1),
        ] == ["one", "two"] * 2
        assert (len(one.requests), len(two.requests)) == (1, 1)


def test_a_cached_message_has_its_reasoning() -> None:
    with Scripted(whole("one", reasoning="hm")) as server:
        model = ChatVllm(**server.settings, cache=InMemoryCache())
        answers = [model.invoke([HumanMessage("Why?")]) for _ in range(2)]
    assert [each.additional_kwargs["reasoning_content"] for each in answers] == ["hm", "hm"]
    assert len(server.requests) == 1


def test_the_text_shows_what_is_visible_and_hides_a_user_of_the_address() -> None:
    text = cache_key(["http://me:pw@gpu/v1?tenant=b"], {"b": 2, "a": 1}, ["org"], ["hush"])
    assert text.startswith("[('a', 1), ('b', 2), 'http://gpu/v1', 'org', ")
    assert not any(word in text for word in ("me:pw", "tenant", "hush"))
    others = [
        cache_key(["http://you:pw@gpu/v1?tenant=b"], {"b": 2, "a": 1}, ["org"], ["hush"]),
        cache_key(["http://me:pw@gpu/v1?tenant=c"], {"b": 2, "a": 1}, ["org"], ["hush"]),
        cache_key(["http://me:pw@gpu/v1?tenant=b"], {"b": 2, "a": 1}, ["org"], ["psst"]),
    ]
    assert len({text, *others}) == 4
    one, same = ({"x": 1, "y": 2}, {"y": 2, "x": 1})
    assert cache_key(["http://gpu", "http://a"], {}, [], []) != cache_key(
        ["http://gpu"], {}, [], []
    )
    assert cache_key(["http://gpu"], {}, [], [one]) == cache_key(["http://gpu"], {}, [], [same])
