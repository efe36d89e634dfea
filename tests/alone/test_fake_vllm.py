"""The fake without its siblings: it serves, misbehaves and keeps its ledger."""

import json
import urllib.request
from http.client import IncompleteRead

import pytest

from fake_vllm.testing import FakeVllm


def ask(fake: FakeVllm, **body: object) -> urllib.request.Request:
    content = {"model": fake.model, "messages": [{"role": "user", "content": "Why?"}], **body}
    return urllib.request.Request(
        f"{fake.base_url}/chat/completions",
        data=json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
    )


def test_it_answers_streams_and_writes_the_ledger() -> None:
    with FakeVllm("finite:tokens=3") as fake:
        with urllib.request.urlopen(ask(fake), timeout=30) as answer:
            assert json.load(answer)["choices"][0]["finish_reason"] == "stop"
        with urllib.request.urlopen(ask(fake, stream=True), timeout=30) as stream:
            assert stream.read().endswith(b"data: [DONE]\n\n")
        with urllib.request.urlopen(f"{fake.base_url[:-3]}/metrics", timeout=30) as metrics:
            assert b"vllm:num_requests_running" in metrics.read()
        assert len(fake.requests) == 2


def test_a_rule_answers_with_a_tool() -> None:
    with FakeVllm(enable_auto_tool_choice=True, tool_call_parser="hermes") as fake:
        fake.when(prompt="Why").answer(tool_calls=[{"name": "why", "arguments": {"so": 1}}])
        tool = {"type": "function", "function": {"name": "why", "parameters": {"type": "object"}}}
        with urllib.request.urlopen(ask(fake, tools=[tool]), timeout=30) as answer:
            [call] = json.load(answer)["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"so": 1}


def test_it_misbehaves_and_frees_the_slot() -> None:
    with FakeVllm("endless+reset:after=3") as fake:
        with (
            urllib.request.urlopen(ask(fake, stream=True), timeout=30) as stream,
            pytest.raises((ConnectionError, IncompleteRead)),
        ):
            stream.read()
        assert fake.until_freed(20.0).slot_freed is not None


def test_a_server_speaks_tls() -> None:
    with FakeVllm("finite:tokens=1", tls_self_signed=True) as fake:
        assert fake.base_url.startswith("https://")
