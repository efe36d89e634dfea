"""Call the semantic half of the fake without a server."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fake_vllm import api
from fake_vllm.model.plan import GenerationPlan

PLAIN = api.Rules("tiny")
PARSER = api.Rules("tiny", tool_calls=True)
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
Accept = Callable[[api.Rules, str, bytes, str | None], api.AcceptedRequest]


def accept(
    how: Accept, body: Any, *, rules: api.Rules = PLAIN, header: str | None = None
) -> api.AcceptedRequest:
    return how(rules, "application/json", json.dumps(body).encode(), header)


def plan(request: api.AcceptedRequest) -> GenerationPlan:
    """A plan that comes to an end, as the scenario `finite` makes it."""
    planned = request.plan()
    return planned if planned.eos_after is None else replace(planned, eos_after=40)


def whole(request: api.AcceptedRequest) -> dict[str, Any]:
    """The whole answer."""
    writer = request.writer(plan(request))
    for index, sequence in enumerate(writer.sequences):
        for piece in sequence:
            writer.collect(index, piece)
    return writer.answer()


def events(request: api.AcceptedRequest) -> list[Any]:
    """What the events of a stream hold; "[DONE]" as it is. Choices follow each other."""
    writer = request.writer(plan(request))
    written = (
        writer.begin()
        + [
            writer.event(index, piece)
            for index, sequence in enumerate(writer.sequences)
            for piece in sequence
        ]
        + writer.end()
    )
    lines = b"".join(written).decode().split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def chat(**more: Any) -> api.AcceptedRequest:
    return accept(api.chat, {**HELLO, "max_tokens": 6, **more})


def completion(**more: Any) -> api.AcceptedRequest:
    return accept(api.completion, {"prompt": "Hello world", "max_tokens": 6, **more})


def refusal(how: Callable[[], object]) -> tuple[int, str, str | None, str]:
    """Status, type, parameter and message of a refusal."""
    with pytest.raises(api.Refused) as caught:
        how()
    error = caught.value.body["error"]
    assert error["code"] == caught.value.status
    return caught.value.status, error["type"], error["param"], error["message"]
