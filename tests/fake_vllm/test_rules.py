"""Rules: the requests that they choose, and the answers that they prescribe."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from pydantic import ValidationError

from fake_vllm.rules import Rule
from fake_vllm.testing import FakeVllm, FakeVllmError

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
CITY: dict[str, Any] = {"name": "weather", "arguments": {"city": "Zürich", "say": 'a "b"'}}
QUESTION = [{"role": "user", "content": "How is it in Zürich?"}]
RESULT: list[dict[str, Any]] = [
    *QUESTION,
    {
        "role": "assistant",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "1", "content": "sunny, 20 degrees"},
]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm(gap=0) as fake:
        yield fake


@pytest.fixture
def fake(server: FakeVllm) -> FakeVllm:
    server.reset()
    return server


@pytest.fixture(scope="module")
def client(server: FakeVllm) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="-", max_retries=0) as made:
        yield made


def chat(client: OpenAI, messages: Any = "Hi", **more: Any) -> Any:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return client.chat.completions.create(model="fake-model", messages=messages, **more)


def text(client: OpenAI, messages: Any = "Hi", **more: Any) -> str:
    return str(chat(client, messages, **more).choices[0].message.content)


@pytest.mark.parametrize(
    ("words", "asked", "matches"),
    [
        ("café", "Where is the café?", True),
        ('say "yes"', 'Please say "yes"!', True),
        ("two\nlines", "in two\nlines", True),
        ("user", "Where?", False),
        ("content", "Where?", False),
        ("fake-model", "Where?", False),
    ],
)
def test_a_prompt_is_matched_with_the_words_of_the_user_and_not_with_the_bytes(
    fake: FakeVllm, client: OpenAI, words: str, asked: str, matches: bool
) -> None:
    fake.when(prompt=words).answer("matched")
    assert (text(client, asked) == "matched") is matches


def test_only_the_last_user_message_is_matched(fake: FakeVllm, client: OpenAI) -> None:
    fake.when(prompt="first").answer("matched")
    told = [
        {"role": "system", "content": "first"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "second"},
    ]
    assert text(client, told) != "matched"
    assert text(client, told[:3]) == "matched"


def test_the_answer_is_the_given_text_at_every_endpoint(fake: FakeVllm, client: OpenAI) -> None:
    said = "Grüße, 你好 🌍: a whole sentence,\n\nand another."
    fake.when().answer(said)
    assert text(client) == said
    streamed = chat(client, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == said
    assert (
        client.completions.create(model="fake-model", prompt="Hi", max_tokens=99).choices[0].text
        == said
    )
    assert client.responses.create(model="fake-model", input="Hi").output_text == said


def test_the_answer_keeps_the_requests_limits(fake: FakeVllm, client: OpenAI) -> None:
    fake.when().answer("one two three four five")
    cut = chat(client, max_tokens=2).choices[0]
    assert cut.finish_reason == "length"
    assert "five" not in cut.message.content
    assert text(client, stop=["three"]) == "one two "


def test_a_schema_does_not_change_a_given_answer(fake: FakeVllm, client: OpenAI) -> None:
    fake.when().answer("not JSON")
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert text(client, response_format=form) == "not JSON"


@pytest.mark.parametrize("choice", ["auto", "required", {"function": {"name": "weather"}}])
def test_tool_calls_reach_the_client_streamed_and_whole(
    fake: FakeVllm, client: OpenAI, choice: Any
) -> None:
    named: Any = {"type": "function", **choice} if isinstance(choice, dict) else choice
    fake.when(prompt="Zürich").answer(tool_calls=[CITY])
    asked = {"tools": [WEATHER], "tool_choice": named}
    [call] = chat(client, QUESTION, **asked).choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == CITY["arguments"]
    pieces = [
        piece.function
        for chunk in chat(client, QUESTION, stream=True, **asked)
        for piece in chunk.choices[0].delta.tool_calls or ()
    ]
    assert "".join(piece.name or "" for piece in pieces) == "weather"
    assert json.loads("".join(piece.arguments or "" for piece in pieces)) == CITY["arguments"]


def test_a_loop_of_tools_ends_with_the_answer_to_their_result(
    fake: FakeVllm, client: OpenAI
) -> None:
    fake.when(prompt="Zürich").answer(tool_calls=[CITY, {**CITY, "arguments": {}}])
    fake.when(tool_result="sunny").answer("It is sunny.")
    fake.when(tool_result=True).answer("It is not sunny.")
    first = chat(client, QUESTION, tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls"
    assert len(first.message.tool_calls) == 2
    assert text(client, RESULT, tools=[WEATHER]) == "It is sunny."
    rain = [*RESULT[:-1], {**RESULT[-1], "content": "rain"}]
    assert text(client, rain, tools=[WEATHER]) == "It is not sunny."


def test_arguments_can_be_broken_on_purpose(fake: FakeVllm, client: OpenAI) -> None:
    fake.when().answer(tool_calls=[{"name": "weather", "arguments": '{"city": "Zü'}])
    arguments = "".join(
        piece.function.arguments or ""
        for chunk in chat(client, QUESTION, stream=True, tools=[WEATHER])
        for piece in chunk.choices[0].delta.tool_calls or ()
    )
    with pytest.raises(ValueError, match="Invalid control character"):
        json.loads(arguments)


def test_words_and_calls_in_one_answer(fake: FakeVllm, client: OpenAI) -> None:
    fake.when().answer("Let me look.", tool_calls=[CITY])
    message = chat(client, QUESTION, tools=[WEATHER]).choices[0].message
    assert message.content.strip() == "Let me look."
    assert len(message.tool_calls) == 1


@pytest.mark.parametrize(
    ("conditions", "request_has", "has_not"),
    [
        ({"stream": False}, {}, {"stream": True}),
        ({"path": "/v1/chat/completions"}, {}, None),
        ({"model": "fake-model"}, {}, None),
        (
            {"headers": {"X-Tenant": "red"}},
            {"extra_headers": {"x-tenant": "the red one"}},
            {"extra_headers": {"x-tenant": "blue"}},
        ),
        ({"headers": {"x-tenant": ""}}, {"extra_headers": {"x-tenant": "any"}}, {}),
        ({"turn": 1}, {}, None),
        (
            {"attempt": "2-"},
            {"extra_headers": {"x-stainless-retry-count": "1"}},
            {"extra_headers": {"x-stainless-retry-count": "0"}},
        ),
    ],
)
def test_every_condition_chooses_requests(
    fake: FakeVllm,
    client: OpenAI,
    conditions: dict[str, Any],
    request_has: dict[str, Any],
    has_not: dict[str, Any] | None,
) -> None:
    fake.when(**conditions).answer("matched")

    def said(more: dict[str, Any]) -> str:
        answer = chat(client, **more)
        if more.get("stream"):
            return "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        return str(answer.choices[0].message.content)

    assert said(request_has) == "matched"
    if has_not is not None:
        assert said(has_not) != "matched"


def test_the_second_turn_is_one_with_two_user_messages(fake: FakeVllm, client: OpenAI) -> None:
    fake.when(turn=2).answer("matched")
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert text(client, [*talk, {"role": "user", "content": "c"}]) == "matched"
    assert text(client, talk[:1]) != "matched"


def test_calls_are_counted_by_rule_and_from_one_again_after_a_clear(
    fake: FakeVllm, client: OpenAI
) -> None:
    fake.when(prompt="Hi", call=2).answer("second")
    fake.when(prompt="Hi", call="3-").answer("later")
    fake.when().answer("else")
    for _ in range(2):
        assert [text(client) for _ in range(3)] == ["else", "second", "else"]
        assert text(client, "other") == "else"
        fake.clear()


def test_the_first_rule_that_matches_counts(fake: FakeVllm, client: OpenAI) -> None:
    fake.when(prompt="Hi").answer("first")
    fake.when().answer("second")
    assert [text(client), text(client, "Ho")] == ["first", "second"]


def test_a_fault_and_given_words_go_together(fake: FakeVllm, client: OpenAI) -> None:
    fake.when().answer("one two three four five", scenario="abort:after=2")
    assert chat(client).choices[0].finish_reason == "abort"
    fake.reset()
    fake.when().answer("again and ", scenario="endless")
    assert chat(client, max_tokens=40).choices[0].message.content.startswith("again and again and")
    named = chat(client, max_tokens=3, extra_body={"fake_scenario": "crlf"})
    assert named.choices[0].message.content.startswith("again")


def test_a_rule_can_refuse_by_its_scenario(fake: FakeVllm, client: OpenAI) -> None:
    fake.when(prompt="Hi", call=1).play("refuse:status=429,times=0")
    with httpx2.Client(trust_env=False) as plain:
        statuses = [
            plain.post(
                f"{fake.base_url}/chat/completions",
                json={"messages": [{"role": "user", "content": "Hi"}]},
            ).status_code
            for _ in range(2)
        ]
    assert statuses == [429, 200]


def test_a_reset_restores_the_servers_own_rules() -> None:
    given = [{"prompt": "a", "say": "of the server"}]
    with (
        FakeVllm(gap=0, rules=given) as fake,
        OpenAI(base_url=fake.base_url, api_key="-") as client,
    ):
        fake.when(prompt="b").answer("of the test")
        assert [text(client, "a"), text(client, "b")] == ["of the server", "of the test"]
        fake.reset()
        assert text(client, "a") == "of the server"
        assert text(client, "b") != "of the test"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"promt": "x", "say": "y"}, "A rule has no 'promt'. Did you mean prompt?"),
        ({"prompt": "x"}, "a rule needs an effect: scenario, say, tool_calls or reasoning."),
        ({"scenario": "stal"}, "There is no scenario 'stal'. Did you mean stall"),
        ({"scenario": "never_read"}, "'never_read' acts before there is a request"),
        ({"scenario": "upload+stall"}, "'upload+stall' acts before there is a request"),
        ({"scenario": "stall:after=3,after=4"}, "the parameter 'after' is given twice"),
        ({"say": "x", "turn": "0"}, "'0' is not a number from 1, as 3, or a range, as 2-4"),
        ({"tool_calls": [{"arguments": {}}]}, "tool_calls.0.name: Field required"),
    ],
)
def test_a_wrong_rule_is_one_sentence_from_python_and_from_the_command(
    fake: FakeVllm, rule: dict[str, Any], says: str
) -> None:
    with httpx2.Client(trust_env=False) as plain:
        answer = plain.put(f"{fake.root}/rules", content=json.dumps(rule))
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert says in message
    assert "\n" not in message
    with pytest.raises(ValidationError):
        Rule(**rule)


def test_a_wrong_condition_is_reported_where_it_was_written(fake: FakeVllm) -> None:
    with pytest.raises(FakeVllmError, match="'0-1' is not a number from 1"):
        fake.when(turn="0-1").answer("x")
    with pytest.raises(FakeVllmError, match="a rule needs an effect"):
        fake.when(prompt="x").answer()
    with pytest.raises(FakeVllmError, match="a rule needs an effect"):
        FakeVllm(rules=[{"prompt": "x"}])


def test_a_thought_comes_before_the_answer_on_any_server(fake: FakeVllm, client: OpenAI) -> None:
    fake.when(prompt="deep").answer("Forty-two.", reasoning="Let me think.")
    message = chat(client, "a deep question").choices[0].message
    assert (message.reasoning, message.content) == ("Let me think.", "Forty-two.")
    deltas = [chunk.choices[0].delta for chunk in chat(client, "deep", stream=True)]
    thought = "".join(getattr(delta, "reasoning", None) or "" for delta in deltas)
    assert thought == "Let me think."
    assert "".join(delta.content or "" for delta in deltas) == "Forty-two."
    output = client.responses.create(model="fake-model", input="deep").output
    assert [item.type for item in output] == ["reasoning", "message"]
    assert getattr(chat(client, "shallow").choices[0].message, "reasoning", None) is None


def test_a_request_that_turns_thinking_off_gets_the_answer_alone(
    fake: FakeVllm, client: OpenAI
) -> None:
    fake.when().answer("Forty-two.", reasoning="Let me think.")
    for off in ({"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"}):
        message = chat(client, extra_body=off).choices[0].message
        assert (message.reasoning, message.content) == (None, "Forty-two.")


@pytest.mark.parametrize("stream", [False, True])
def test_a_given_thought_can_have_the_name_that_older_servers_use(
    fake: FakeVllm, client: OpenAI, stream: bool
) -> None:
    fake.when().answer("Yes.", reasoning='A "why".', scenario="think:field=reasoning_content")
    answer = chat(client, stream=stream)
    if stream:
        deltas = [chunk.choices[0].delta for chunk in answer]
        thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        assert not any(hasattr(delta, "reasoning") for delta in deltas)
    else:
        message = answer.choices[0].message
        thought = message.reasoning_content
        assert not hasattr(message, "reasoning")
    assert thought == 'A "why".'


def test_a_thought_and_a_tool_call_in_one_answer(fake: FakeVllm, client: OpenAI) -> None:
    fake.when().answer(tool_calls=[CITY], reasoning="A tool would help.")
    choice = chat(client, QUESTION, tools=[WEATHER]).choices[0]
    assert (choice.message.reasoning, choice.finish_reason) == ("A tool would help.", "tool_calls")


def test_a_server_with_a_parser_thinks_before_each_answer() -> None:
    with (
        FakeVllm("finite:tokens=8", gap=0, reasoning_parser="qwen3") as fake,
        OpenAI(base_url=fake.base_url, api_key="-") as client,
    ):
        answer = chat(client)
        assert len(answer.choices[0].message.reasoning.split()) == 30
        assert len(answer.choices[0].message.content.split()) == 8
        assert answer.usage.completion_tokens_details.reasoning_tokens == 30
        fewer = chat(client, extra_body={"thinking_token_budget": 5})
        assert fewer.usage.completion_tokens_details.reasoning_tokens == 5
        longer = chat(client, extra_body={"fake_scenario": "think:tokens=50"})
        assert longer.usage.completion_tokens_details.reasoning_tokens == 50
        fake.when(prompt="short").answer("Yes.")
        message = chat(client, "a short question").choices[0].message
        assert (message.reasoning, message.content) == (None, "Yes.")
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        formed = chat(client, response_format=form).choices[0].message
        assert json.loads(formed.content) == {}
        assert formed.reasoning
