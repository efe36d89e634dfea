"""Messages of Anthropic's form: their conversion to a chat, their blocks, and their errors."""

import json
from typing import Any

import pytest

from fake_vllm import api
from fake_vllm.api.anthropic_blocks import Blocks
from fake_vllm.api.chat_writer import ChatWriter
from fake_vllm.api.release import NEW
from fake_vllm.rules import ScriptedAnswer
from tests.fake_vllm.api.ask import PARSER, PLAIN, accept, plan

NEWER = api.Rules("tiny", release=NEW)

HELLO: dict[str, Any] = {
    "model": "tiny",
    "max_tokens": 60,
    "messages": [{"role": "user", "content": "Hello"}],
}
TOOL = {"name": "weather", "input_schema": {"properties": {"city": {"type": "string"}}}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'


def request(*, rules: api.Rules = PLAIN, **more: Any) -> api.AcceptedRequest:
    body = {name: value for name, value in {**HELLO, **more}.items() if value is not None}
    return accept(api.message, body, rules=rules)


def writer(request: api.AcceptedRequest, says: str | None) -> Any:
    planned = plan(request)
    return request.writer(planned if says is None else ScriptedAnswer(says).shape(planned))


def streamed(says: str | None = None, **more: Any) -> list[tuple[str, Any]]:
    """The names of the events, and their data."""
    made = writer(request(stream=True, **more), says)
    written = b"".join(
        made.begin() + [made.event(0, piece) for piece in made.sequences[0]] + made.end()
    ).decode()
    events = []
    for event in written.split("\n\n")[:-1]:
        name, data = event.split("\n")
        assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def whole(says: str | None = None, **more: Any) -> dict[str, Any]:
    made = writer(request(**more), says)
    for piece in made.sequences[0]:
        made.collect(0, piece)
    answer: dict[str, Any] = made.answer()
    return answer


def shape(events: list[tuple[str, Any]]) -> list[str]:
    """The names in order; runs of deltas count as one, and blocks have their kind."""
    names: list[str] = []
    for name, data in events:
        kind = data.get("content_block", data.get("delta", {})).get("type", "")
        named = f"{name} {kind}".rstrip().removeprefix("content_block_")
        if not names or names[-1] != named:
            names.append(named)
    return names


def told(events: list[tuple[str, Any]], key: str) -> str:
    return "".join(data["delta"].get(key, "") for _, data in events if "delta" in data)


def test_a_stream_is_one_block_of_text_between_start_and_end() -> None:
    events = streamed("hello world")
    assert shape(events) == [
        "message_start",
        "start text",
        "delta text_delta",
        "stop",
        "message_delta",
        "message_stop",
    ]
    assert told(events, "text") == "hello world"
    usage = events[0][1]["message"]["usage"], events[-2][1]["usage"]
    assert [one["output_tokens"] for one in usage] == [0, len(events) - 4]
    assert events[0][1]["message"]["id"].startswith("chatcmpl-")


def test_an_empty_answer_has_no_block_in_a_stream_and_an_empty_one_in_a_whole_answer() -> None:
    assert shape(streamed("")) == ["message_start", "message_delta", "message_stop"]
    assert whole("")["content"] == [{"type": "text", "text": ""}]


@pytest.mark.parametrize(
    ("says", "more", "reason", "sequence"),
    [
        ("hello", {}, "end_turn", None),
        (None, {"max_tokens": 2}, "max_tokens", None),
        ("hello world", {"stop_sequences": ["wor"]}, "stop_sequence", "wor"),
        (CALL, {"tools": [TOOL], "rules": PARSER}, "tool_use", None),
        (
            CALL,
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "weather"}, "rules": PARSER},
            "tool_use",
            None,
        ),
        (
            CALL,
            {"tools": [TOOL], "stop_sequences": ["Bern"], "rules": PARSER},
            "stop_sequence",
            "Bern",
        ),
        (
            f"{CALL}{CALL} END",
            {"tools": [TOOL], "stop_sequences": ["END"], "rules": PARSER},
            "tool_use",
            None,
        ),
        (CALL, {"tools": [TOOL], "max_tokens": 6, "rules": PARSER}, "max_tokens", None),
    ],
)
def test_the_reason_of_the_end_is_the_same_whole_and_streamed(
    says: str | None, more: dict[str, Any], reason: str, sequence: str | None
) -> None:
    answer = whole(says, **more)
    assert (answer["stop_reason"], answer.get("stop_sequence")) == (reason, sequence)
    assert streamed(says, **more)[-2][1]["delta"] == {
        "stop_reason": reason,
        "stop_sequence": sequence,
    }


def test_a_tool_without_tools_is_used_in_a_whole_answer_only() -> None:
    more: dict[str, Any] = {"tool_choice": {"type": "any"}, "rules": PARSER}
    assert whole("hello", **more)["stop_reason"] == "tool_use"
    assert streamed("hello", **more)[-2][1]["delta"]["stop_reason"] == "end_turn"


def test_text_and_calls_are_blocks_of_their_own() -> None:
    more: dict[str, Any] = {"tools": [TOOL], "rules": PARSER}
    events = streamed(f"Look: {CALL}{CALL}", **more)
    assert shape(events)[1:-2] == [
        *("start text", "delta text_delta", "stop"),
        *("start tool_use", "delta input_json_delta", "stop") * 2,
    ]
    starts = [data for name, data in events if name == "content_block_start"]
    assert [start["index"] for start in starts] == [0, 1, 2]
    blocks = whole(f"Look: {CALL}{CALL}", **more)["content"]
    assert [block["type"] for block in blocks] == ["text", "tool_use", "tool_use"]
    assert blocks[1]["input"] == {"city": "Bern"}
    calls = [start["content_block"]["id"] for start in starts[1:]]
    assert len({*calls, *(block["id"] for block in blocks[1:])}) == 4


def test_one_call_is_enough_without_parallel_use() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    more: dict[str, Any] = {"tools": [TOOL], "tool_choice": choice, "rules": PARSER}
    assert len(whole(CALL + CALL, **more)["content"]) == 1
    assert shape(streamed(CALL + CALL, **more)).count("start tool_use") == 1


def test_thoughts_come_from_the_chat_and_are_signed() -> None:
    blocks = Blocks(keeps_arguments=True)
    made = blocks.events({"reasoning": "so"}) + blocks.events({"reasoning": "."})
    made += blocks.events({"content": "Yes", "reasoning": " Ah"}) + b"".join(blocks.closed())
    events = [json.loads(line[6:]) for line in made.decode().split("\n") if line[:5] == "data:"]
    assert [event.get("content_block", event.get("delta", {})).get("type") for event in events] == [
        *(
            "thinking",
            "thinking_delta",
            "thinking_delta",
            "thinking_delta",
            "signature_delta",
            None,
        ),
        *("text", "text_delta", None),
    ]
    assert events[0]["content_block"] == {"type": "thinking", "thinking": ""}
    assert [event["index"] for event in events] == [0] * 6 + [1] * 3


def test_a_whole_answer_has_the_thought_first(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ChatWriter.answer

    def thoughtful(self: ChatWriter) -> dict[str, Any]:
        made = answer(self)
        made["choices"][0]["message"]["reasoning"] = "so"
        return made

    monkeypatch.setattr(ChatWriter, "answer", thoughtful)
    thought, text = whole("Yes")["content"]
    assert (thought["type"], thought["thinking"], len(thought["signature"])) == (
        *("thinking", "so"),
        32,
    )
    assert text == {"type": "text", "text": "Yes"}


def test_text_after_an_open_call_waits_for_its_end() -> None:
    blocks = Blocks(keeps_arguments=True)
    call = {"id": "1", "index": 0, "function": {"name": "weather"}}
    blocks.events({"tool_calls": [call]})
    assert blocks.events({"content": "later"}) == b""
    assert [event.split(b"\n")[0] for event in blocks.closed()] == [
        b"event: content_block_stop",
        b"event: content_block_start",
        b"event: content_block_delta",
        b"event: content_block_stop",
    ]


@pytest.mark.parametrize(
    ("more", "turns"),
    [
        ({"system": "Be"}, [("system", "Be"), ("user", "Hello")]),
        (
            {"system": [{"type": "text", "text": "B"}, {"type": "text", "text": "e"}]},
            [("system", "Be"), ("user", "Hello")],
        ),
        (
            {"system": [{"type": "text", "text": "x-anthropic-billing-header: 1"}]},
            [("user", "Hello")],
        ),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
            [("user", "a"), ("system", "b")],
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "hm", "signature": "x"},
                            {"type": "redacted_thinking", "data": "x"},
                            {"type": "tool_use", "id": "1", "name": "weather", "input": {}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "Go on"},
                            {"type": "tool_result", "tool_use_id": "1", "content": "sun"},
                        ],
                    },
                ]
            },
            [("assistant", ""), ("tool", "sun"), ("user", "Go on")],
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "content": [
                                    {"type": "text", "text": "sun"},
                                    {"type": "tool_reference", "tool_name": "rain"},
                                ],
                            }
                        ],
                    }
                ]
            },
            [("tool", "sun"), ("tool", "rain")],
        ),
    ],
)
def test_a_conversation_is_converted_as_by_vllm(
    more: dict[str, Any], turns: list[tuple[str, str]]
) -> None:
    converted = request(**more).turns
    assert [(turn["role"], turn["text"]) for turn in converted] == turns


def test_tools_can_be_added_and_removed_in_the_conversation() -> None:
    added = {"type": "tool_definition", "definition": {**TOOL, "name": "rain"}}
    gone = {"type": "tool_reference", "name": "weather"}
    changes = [{"type": "tool_addition", "tool": added}, {"type": "tool_removal", "tool": gone}]
    messages = [*HELLO["messages"], {"role": "system", "content": changes}]
    accepted: Any = request(messages=messages, tools=[TOOL], rules=PARSER)
    assert [tool.function.name for tool in accepted.body.tools] == ["rain"]


def test_tokens_are_counted_without_a_limit_of_the_answer() -> None:
    body = {name: value for name, value in HELLO.items() if name != "max_tokens"}
    counted = api.count_tokens(PLAIN, "application/json", json.dumps(body).encode())
    assert counted["input_tokens"] == request().prompt_tokens
    assert counted["context_management"] == {"original_input_tokens": counted["input_tokens"]}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}


@pytest.mark.parametrize(
    ("more", "form", "says"),
    [
        ({"max_tokens": None}, "OpenAI", "body.max_tokens"),
        ({"max_tokens": 0}, "OpenAI", "max_tokens must be positive"),
        ({"model": ""}, "OpenAI", "Model is required"),
        ({"stop_sequences": list("abcde")}, "OpenAI", "at most 4 items"),
        ({"tools": [{"name": "a"}]}, "OpenAI", "body.tools.0.input_schema"),
        ({"tool_choice": {"type": "tool"}}, "OpenAI", "tool_choice.name is required"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 10}},
            "OpenAI",
            "body.thinking.enabled.budget_tokens",
        ),
        (
            {"max_tokens": 1024, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            "OpenAI",
            "must be less than max_tokens",
        ),
        ({"model": "nope"}, "NotFoundError", "The model `nope` does not exist."),
        ({"messages": []}, "BadRequestError", "an empty conversation"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "BadRequestError", "multimodal"),
        ({"max_tokens": 10**6}, "BadRequestError", "max_completion_tokens=1000000"),
        ({"stop_sequences": [""]}, "BadRequestError", "cannot contain an empty string"),
        ({"tools": [TOOL]}, "BadRequestError", "--enable-auto-tool-choice"),
        (
            {
                "tools": [TOOL],
                "tool_choice": {"type": "tool", "name": "nope"},
                "rules": PARSER,
            },
            "BadRequestError",
            "'nope' is not found",
        ),
    ],
)
def test_a_wrong_form_has_openais_error_and_any_other_fault_anthropics(
    more: dict[str, Any], form: str, says: str
) -> None:
    with pytest.raises(api.Refused) as refused:
        request(**more)
    body = refused.value.body
    assert says in body["error"]["message"]
    if form == "OpenAI":
        assert (list(body), body["error"]["type"]) == (["error"], "Bad Request")
    else:
        assert list(body) == ["type", "error"]
        assert (body["type"], body["error"]["type"]) == ("error", form)


def test_a_stream_that_the_engine_refuses_has_an_error_event() -> None:
    accepted = request(
        stream=True, max_tokens=1100, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    made = writer(accepted, None)
    [event] = made.end()
    assert made.sequences == []
    assert event.startswith(b'event: error\ndata: {"type":"error","error":{"type":"internal_error"')


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_a_newer_vllm_has_anthropics_types_of_errors(status: int, kind: str) -> None:
    error = api.error(status, "Any", "text")
    for accepted in (request(rules=NEWER), request(rules=NEWER, stream=True)):
        wanted = {"type": "error", "error": {"type": kind, "message": "text"}}
        assert accepted.error_body(error) == wanted
        [event] = accepted.error_events(error) or []
        assert json.loads(event.partition(b"data: ")[2]) == wanted


@pytest.mark.parametrize(("rules", "closes"), [(PLAIN, 0), (NEWER, 1)])
def test_a_newer_vllm_closes_the_block_before_an_error(rules: api.Rules, closes: int) -> None:
    made = writer(request(rules=rules, stream=True), "hello world")
    made.event(0, next(made.sequences[0]))
    assert len(made.before_error()) == closes
