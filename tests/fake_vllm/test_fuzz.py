"""Random bodies: the server answers each in vLLM's form, stays up and keeps nothing.

`FUZZ_REQUESTS=20000 pytest -n 0 tests/fake_vllm/test_fuzz.py` sends more of them.
"""

import http.client
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fake_vllm.testing import FakeVllm

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "600"))
PATHS = [
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"),
    *("/v1/messages/count_tokens", "/v1/chat/completions/batch", "/invocations"),
    *("/tokenize", "/detokenize"),
]
MESSAGE = {"role": "user", "content": "Hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
# For each field some values that it may have; anything else is tried as well. What multiplies work, as n, has an upper end.
FIELDS: dict[str, list[Any]] = {
    "messages": [
        [MESSAGE],
        [{"role": "assistant", "content": "So"}],
        [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]}],
        [{"role": "assistant", "content": [{"type": "tool_use"}, {"type": "thinking"}]}],
        [[MESSAGE], [MESSAGE]],
    ],
    "system": ["Be", [{"type": "text", "text": "Be"}], []],
    "stop_sequences": [["a"], [""]],
    "thinking": [{"type": "adaptive"}, {"type": "disabled"}, {"type": "enabled"}],
    "prompt": ["Hi", ["a", "b"], [5, 6, 7], [[1, 2], [3]], ""],
    "input": ["Hi", [MESSAGE]],
    "tokens": [[5, 6, 7], []],
    "model": ["tiny", "nope", None, ""],
    "stream": [True, False, None],
    "stream_options": [
        {"include_usage": True},
        {"include_usage": True, "continuous_usage_stats": True},
        {},
    ],
    "max_tokens": [1, 7, 0, -1, 10**6, None],
    "max_completion_tokens": [3, 0],
    "max_output_tokens": [3, 0],
    "min_tokens": [2, -1, 100],
    "n": [1, 2, 0, -1],
    "temperature": [0, 0.7, -1, 5],
    "top_p": [0.5, 0, 2],
    "top_k": [1, 0, -2],
    "seed": [1, -5, 2**70],
    "stop": ["a", ["a", "the"], [], ""],
    "stop_token_ids": [[300], []],
    "ignore_eos": [True, False],
    "logit_bias": [{"300": 100}, {"2": 100}, {"99999": 1}, {"x": 1}],
    "bad_words": [["the"], [""]],
    "logprobs": [True, 2, 100, 0],
    "top_logprobs": [2, 50, 0],
    "prompt_logprobs": [1, 0, -1],
    "echo": [True, False],
    "return_token_ids": [True],
    "return_tokens_as_token_ids": [True],
    "tools": [[TOOL], [], [{}], [{"name": "f", "input_schema": {}}]],
    "tool_choice": [
        "auto",
        "required",
        "none",
        {"type": "function", "function": {"name": "f"}},
        "maybe",
        {"type": "any"},
        {"type": "tool", "name": "f"},
    ],
    "response_format": [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "boolean"}}},
    ],
    "structured_outputs": [
        {"choice": ["yes", "no"]},
        {"regex": "[ab]{2}"},
        {"grammar": 'root ::= "a"'},
        {},
    ],
    "repetition_detection": [{"max_pattern_size": 4, "min_pattern_size": 1, "min_count": 3}, {}],
    "stream_interval": [1, 4, 0],
    "suffix": ["x"],
    "request_id": ["mine", ""],
    "priority": [0, 1],
    "add_generation_prompt": [True, False],
    "continue_final_message": [True],
    "fake_scenario": [
        "finite:tokens=3",
        "error_event:after=1",
        "refuse",
        "abort",
        "malformed",
        "nonsense",
        "echo",
    ],
}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)
STUMBLES = re.compile(rb"object has no attribute 'get'|object has no attribute 'items'")
NOT_FREE = {"n", "fake_scenario"}


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A body: mostly an object of known fields, sometimes not an object or not JSON."""
    kind = draw(st.integers(0, 20))
    if kind == 0:
        return draw(st.binary(max_size=40))
    if kind == 1:
        return json.dumps(draw(ANYTHING)).encode()
    body: dict[str, Any] = {}
    if draw(st.booleans()):
        body = {"messages": [MESSAGE], "prompt": "Hi", "input": "Hi", "tokens": [5]}
        body |= {"model": "tiny", "max_tokens": 9} if draw(st.booleans()) else {}
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=6, unique=True)):
        free = name not in NOT_FREE and draw(st.integers(0, 3)) == 0
        body[name] = draw(ANYTHING if free else st.sampled_from(FIELDS[name]))
    data = json.dumps(body).encode()
    return data[: draw(st.integers(0, len(data)))] if kind == 2 else data


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "with a tool parser"])
def server(request: pytest.FixtureRequest) -> Iterator[FakeVllm]:
    parser = {"enable_auto_tool_choice": True, "tool_call_parser": "hermes"}
    tools: dict[str, Any] = parser if request.param else {}
    with FakeVllm("finite:tokens=6", gap=0, model="tiny", max_model_len=256, **tools) as fake:
        yield fake


@pytest.mark.timeout(1200)
def test_any_request_is_answered_in_vllms_form_and_leaves_nothing_behind(
    server: FakeVllm,
) -> None:
    process, statuses = psutil.Process(server.pid), Counter[int]()
    client = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=20)
    before = (0, 0)

    @settings(
        max_examples=REQUESTS // 2,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(path=st.sampled_from(PATHS), body=bodies())
    def ask(path: str, body: bytes) -> None:
        nonlocal before
        client.request("POST", path, body, {"content-type": "application/json"})
        answer = client.getresponse()
        try:
            data = answer.read()
        except http.client.IncompleteRead as cut:
            assert (path, answer.status) == ("/v1/responses", 200)
            data = cut.partial
            client.close()
        statuses[answer.status] += 1
        if answer.headers["content-type"] == "text/event-stream; charset=utf-8":
            assert data.endswith(b"\n\n")
        elif b"malformed" not in body:
            told = json.loads(data)
            assert (
                answer.status == 200
                or told["error"].get("code") == answer.status
                or (path.startswith("/v1/messages") and told["type"] == "error")
            )
        # 500 is what the scenario error_event is for, 503 what refuse is for; and vLLM itself stumbles over some odd bodies.
        assert (
            answer.status < 500
            or b"error_event" in body
            or b"refuse" in body
            or STUMBLES.search(data)
        ), (path, body, data)
        if sum(statuses.values()) == REQUESTS // 4:
            before = (process.memory_info().rss, process.num_fds())

    ask()
    entries = server.requests
    assert {entry.over is not None for entry in entries} == {True}
    assert process.num_fds() <= before[1] + 1
    # Half of the requests came after the first look; what they may leave is their lines in the ledger, and what the allocator keeps.
    assert process.memory_info().rss - before[0] < 8_000_000 + 2_000 * min(len(entries), 10_000)
    assert statuses[200] > REQUESTS // 20
    assert statuses[400] > REQUESTS // 20
