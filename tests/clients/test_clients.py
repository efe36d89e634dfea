"""Real clients of other projects work with the fake; its ledger is the witness."""

import json
import re
from typing import Any

from fake_vllm.testing import FakeVllm
from tests.clients.conftest import Play
from tests.clients.registry import Case, each_way

QUESTION, ANSWER, THOUGHT = "What is the weather in Paris?", "Hello from the fake.", "They ask."
PATTERN = "^[A-Z][a-z]{2,7}$"
CALL: Any = {"name": "weather", "arguments": {"city": "Paris"}}


def sent(fake: FakeVllm) -> Any:
    """Return the body of the only request."""
    [request] = fake.requests
    return request.json


@each_way("whole")
def test_a_whole_answer_is_the_one_of_the_script(case: Case, play: Play, fake: FakeVllm) -> None:
    fake.when(prompt=QUESTION).answer(ANSWER)
    assert play(case, fake).get("text") == ANSWER
    assert not sent(fake).get("stream")
    assert sent(fake)["model"] == fake.model
    assert fake.until_over().end == "finished"


@each_way("stream")
def test_a_stream_arrives_in_pieces_that_make_the_answer(
    case: Case, play: Play, fake: FakeVllm
) -> None:
    fake.when(prompt=QUESTION).answer(ANSWER)
    result = play(case, fake)
    assert result.get("text") == ANSWER
    assert result["parts"] > 3
    assert sent(fake)["stream"] is True
    assert fake.until_over().end == "finished"


@each_way("tools")
def test_a_call_of_a_tool_is_read_and_its_result_is_answered(
    case: Case, play: Play, fake: FakeVllm
) -> None:
    fake.when(prompt=QUESTION).answer(tool_calls=[CALL])
    fake.when(tool_result="sunny in Paris").answer("It is sunny in Paris.")
    result = play(case, fake)
    assert result.get("calls") == [["weather", {"city": "Paris"}]]
    assert result["text"] == "It is sunny in Paris."
    asks, answers = fake.requests
    [tool] = asks.json["tools"]
    assert tool.get("function", tool)["name"] == "weather"
    assert "sunny in Paris" not in asks.body
    assert "sunny in Paris" in answers.body


@each_way("structured")
def test_an_object_follows_the_schema_and_its_pattern(
    case: Case, play: Play, fake: FakeVllm
) -> None:
    value = play(case, fake).get("value") or {}
    assert sorted(value) == ["age", "name"]
    if case.settings.constraints:
        assert re.fullmatch(PATTERN, value["name"])
        assert 18 <= value["age"] <= 99
    assert (
        '"pattern": ' + json.dumps(PATTERN) in json.dumps(sent(fake))
    ) is case.settings.constraints


@each_way("abort")
def test_a_client_that_aborts_frees_the_slot(case: Case, play: Play, fake: FakeVllm) -> None:
    fake.play("endless")
    assert play(case, fake).get("text")
    request = fake.until_freed()
    assert (request.end, request.tokens_after_left) == ("client left", 0)
    assert len(fake.requests) == 1


@each_way("reasoning")
def test_reasoning_is_read_apart_from_the_answer(
    case: Case, play: Play, fake: FakeVllm, thinking_fake: FakeVllm
) -> None:
    if case.settings.field == "reasoning":
        thinking_fake.when(prompt=QUESTION).answer(ANSWER, reasoning=THOUGHT)
        wanted = {"text": ANSWER, "reasoning": THOUGHT}
        result = play(case, thinking_fake)
    else:  # the name that older servers use: the first tokens of the answer, without a parser
        fake.when(prompt=QUESTION).answer(
            ANSWER, scenario=f"think:tokens=3,field={case.settings.field}"
        )
        wanted = {"text": " fake.", "reasoning": "Hello from the"}
        result = play(case, fake)
    assert {name: result.get(name) for name in wanted} == wanted


@each_way("retry")
def test_the_clients_own_retry_is_the_second_request(
    case: Case, play: Play, fake: FakeVllm
) -> None:
    fake.when(prompt=QUESTION).answer(ANSWER)
    fake.play("refuse:status=429,retry_after=1,times=1")
    assert play(case, fake).get("text") == ANSWER
    assert [request.status for request in fake.requests] == [429, 200]
    assert [request.end for request in fake.requests] == ["refused", "finished"]


FAULTS = {"cut": "reset:after=5", "timeout": "no_headers", "silence": "stall:after=5"}
ENDS = {"cut": "reset", "timeout": "client left", "silence": "client left"}


def reports_an_error(case: Case, play: Play, fake: FakeVllm) -> None:
    fake.play(FAULTS[case.kind])
    result = play(case, fake)
    assert set(result) == {"error"}, "the client took half an answer for the whole"
    assert "did not come to an end" not in result["error"]["text"]
    assert fake.until_over().end == ENDS[case.kind]
    assert len(fake.requests) == 1


@each_way("cut")
def test_a_stream_that_is_reset_is_an_error(case: Case, play: Play, fake: FakeVllm) -> None:
    reports_an_error(case, play, fake)


@each_way("timeout")
def test_a_server_that_does_not_answer_is_an_error(case: Case, play: Play, fake: FakeVllm) -> None:
    reports_an_error(case, play, fake)


@each_way("silence")
def test_a_stream_that_goes_silent_is_an_error(case: Case, play: Play, fake: FakeVllm) -> None:
    reports_an_error(case, play, fake)
    assert fake.until_freed().tokens_after_left == 0
