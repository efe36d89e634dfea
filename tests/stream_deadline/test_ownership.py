"""Whose clients and keys a model has."""

from types import SimpleNamespace
from typing import Any

import openai
import pytest
from pydantic import BaseModel, SecretStr

from stream_deadline import ChatVllm
from stream_deadline._clients import PerLoopClient, PerProcessClient
from stream_deadline._ownership import (
    has_key_of_environment,
    has_own_default,
    http_client_of,
    is_from_environment,
    is_users,
    sdk_client_of,
    secret_of,
)
from tests.stream_deadline.wrapped import Wrapped


@pytest.mark.parametrize("name", ["api_key", "openai_api_key"])
@pytest.mark.parametrize("key", ["k", SecretStr("k")], ids=["text", "secret"])
def test_a_copy_has_the_key_of_the_environment_by_either_name(name: str, key: Any) -> None:
    client = SimpleNamespace(key_of_environment=True, api_key="k")
    assert has_key_of_environment(client, {name: key})
    assert not has_key_of_environment(client, {name: "another"})
    assert not has_key_of_environment(client, {})
    client.key_of_environment = False
    assert not has_key_of_environment(client, {name: key})
    assert not has_key_of_environment(None, {name: key})


@pytest.mark.parametrize(
    ("key", "found"),
    [("k", True), (SecretStr("k"), True), ("vllm-only-base-model", True), ("other", False)],
)
def test_a_key_that_the_environment_has_is_found_again(
    key: Any, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert is_from_environment(key) is found


def test_the_secret_of_a_callable_is_itself() -> None:
    assert secret_of(secret_of) is secret_of


def test_a_client_of_the_user_is_asked_to_retry_as_the_user_has_set_it() -> None:
    model = ChatVllm(model="m", api_key="none", base_url="http://gpu/v1", max_retries=7)
    assert model._retries(model.root_client) == 7
    assert model._retries(None) == 0


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_the_sdks_client_is_taken_from_a_plain_resource_only(kind: Any) -> None:
    client = kind(api_key="k")
    assert sdk_client_of(client.chat.completions) is client
    assert http_client_of(client.chat.completions) is client._client
    for other in (None, client, client.models, Wrapped(client.chat.completions)):
        assert sdk_client_of(other) is None
    for name in ("with_options", "copy"):
        client = kind(api_key="k")
        setattr(client, name, lambda **more: None)
        assert sdk_client_of(client.chat.completions) is None
    client = kind(api_key="k")
    resource = client.chat.completions
    resource.create = lambda **more: None
    assert sdk_client_of(resource) is None
    assert http_client_of(resource) is client._client
    assert http_client_of(None) is None


def test_a_client_is_the_users_unless_the_http_client_under_it_is_ours() -> None:
    ours, theirs = PerProcessClient(base_url="http://gpu/v1"), openai.DefaultHttpxClient()
    for http, expected in ((ours, False), (theirs, True)):
        client = openai.OpenAI(api_key="k", http_client=http)
        for each in (http, client, client.chat.completions):
            assert is_users(each) is expected
    assert is_users(PerLoopClient(base_url="http://gpu/v1")) is False
    assert is_users(None) is False
    assert is_users(object()) is True


def test_a_client_that_says_nothing_of_its_key_has_none_of_the_environment() -> None:
    assert not has_key_of_environment(SimpleNamespace(api_key="k"), {"api_key": "k"})


def test_a_subclass_has_a_key_of_its_own_as_a_text_a_secret_or_a_function() -> None:
    for key, expected in (("k", True), (SecretStr("k"), True), (str, True), (None, False)):

        class Model(BaseModel):
            openai_api_key: Any = key

        assert has_own_default(Model, "openai_api_key") is expected
