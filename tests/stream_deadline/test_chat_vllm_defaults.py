"""What `ChatVllm` sets by itself: a key, and that streams have their usage."""

import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from stream_deadline import ChatVllm
from stream_deadline._ownership import PLACEHOLDER_KEY
from tests.stream_deadline.in_memory import InMemory

VARIABLE = "OPENAI_API_KEY"


class WithKey(ChatVllm):
    openai_api_key: SecretStr | None = SecretStr("of the class")


@pytest.mark.parametrize(
    ("kind", "given", "in_environment", "expected"),
    [
        (ChatVllm, {}, None, PLACEHOLDER_KEY),
        (ChatVllm, {}, "", PLACEHOLDER_KEY),
        (ChatVllm, {}, "of the environment", "of the environment"),
        (ChatVllm, {"api_key": "given"}, None, "given"),
        (ChatVllm, {"api_key": "given"}, "of the environment", "given"),
        (ChatVllm, {"openai_api_key": "given"}, None, "given"),
        (WithKey, {}, None, "of the class"),  # a field that is declared anew has no alias
        (WithKey, {}, "", "of the class"),
        (WithKey, {}, "of the environment", "of the class"),
        (WithKey, {"openai_api_key": "given"}, None, "given"),
    ],
)
def test_a_key_is_given_or_the_classs_or_of_the_environment_or_else_a_placeholder(
    kind: type[ChatVllm],
    given: dict[str, str],
    in_environment: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if in_environment is not None:
        monkeypatch.setenv(VARIABLE, in_environment)
    key: Any = kind(model="m", base_url="http://gpu/v1", **given).openai_api_key
    assert key.get_secret_value() == expected


@pytest.mark.parametrize(
    ("given", "update", "of_call", "expected"),
    [
        ({}, {}, {}, {"include_usage": True}),
        ({"stream_usage": True}, {}, {}, {"include_usage": True}),
        ({"stream_usage": False}, {}, {}, None),
        ({}, {}, {"stream_usage": False}, None),
        ({"stream_usage": False}, {}, {"stream_usage": True}, {"include_usage": True}),
        ({}, {}, {"stream_options": {"include_usage": False}}, {"include_usage": False}),
        (
            {},
            {"model_kwargs": {"stream_options": {"include_usage": False}}},
            {},
            {"include_usage": False},
        ),
    ],
)
def test_a_stream_ends_with_its_usage_unless_that_was_set_otherwise(
    given: dict[str, Any], update: dict[str, Any], of_call: dict[str, Any], expected: Any
) -> None:
    server = InMemory()
    model = ChatVllm(**server.settings, **given).model_copy(update=update)
    list(model.stream("Why?", **of_call))
    [request] = server.requests
    assert json.loads(request.content).get("stream_options") == expected


@pytest.mark.skipif(
    ChatOpenAI.model_fields["stream_usage"].default is not None,
    reason="before langchain-openai 1.0 the default is False, and this class looks the same",
)
def test_a_stream_has_no_usage_if_the_class_says_so() -> None:
    class WithoutUsage(ChatVllm):
        stream_usage: bool | None = False

    server = InMemory()
    list(WithoutUsage(**server.settings).stream("Why?"))
    [request] = server.requests
    assert "stream_options" not in json.loads(request.content)
