"""Asks the semantic half of the fake without a server: what it accepts, streams and answers."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fake_vllm import api
from fake_vllm.model.plan import Plan

PLAIN = api.Rules("tiny")
PARSER = api.Rules("tiny", tool_calls=True)
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
Accept = Callable[[api.Rules, str, bytes, str | None], api.Asked]


def accept(how: Accept, body: Any, *, rules: api.Rules = PLAIN, header: str | None = None) -> api.Asked:
    return how(rules, "application/json", json.dumps(body).encode(), header)


def plan(asked: api.Asked) -> Plan:
    """A plan that comes to an end, as the scenario `finite` makes it."""
    planned = asked.plan()
    return planned if planned.eos_after is None else replace(planned, eos_after=40)


def whole(asked: api.Asked) -> dict[str, Any]:
    """The whole answer."""
    job = asked.job(plan(asked))
    for index, sequence in enumerate(job.sequences):
        for piece in sequence:
            job.collect(index, piece)
    return job.answer()


def events(asked: api.Asked) -> list[Any]:
    """What the events of a stream hold; "[DONE]" as it is. Choices follow each other."""
    job = asked.job(plan(asked))
    told = (
        job.begin() + [job.event(index, piece) for index, sequence in enumerate(job.sequences) for piece in sequence] + job.end()
    )
    lines = b"".join(told).decode().split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def chat(**more: Any) -> api.Asked:
    return accept(api.chat, {**HELLO, "max_tokens": 6, **more})


def completion(**more: Any) -> api.Asked:
    return accept(api.completion, {"prompt": "Hello world", "max_tokens": 6, **more})


def refusal(how: Callable[[], object]) -> tuple[int, str, str | None, str]:
    """Status, type, parameter and message of a refusal."""
    with pytest.raises(api.Refused) as caught:
        how()
    error = caught.value.body["error"]
    assert error["code"] == caught.value.status
    return caught.value.status, error["type"], error["param"], error["message"]
