"""Whose clients and keys a model has."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from stream_deadline import ChatVllm
from stream_deadline._ownership import has_key_of_environment, is_from_environment, secret_of


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
