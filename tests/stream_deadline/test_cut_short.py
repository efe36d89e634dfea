"""An incomplete answer never looks whole: a stream without a finish reason raises."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel, ValidationError

from stream_deadline import ChatVllm
from stream_deadline._errors import AnswerCutShort
from stream_deadline._message import REASONING, MessageAccumulator
from tests.stream_deadline.calls import STREAMS, WHOLES, streaming
from tests.stream_deadline.scripted import (
    Answer,
    Scripted,
    chunk,
    delta,
    event,
    response,
    stream,
    whole,
)

CALLS: dict[str, Callable[[Any], Any]] = {
    **STREAMS,
    "invoke": lambda model: WHOLES["invoke"](streaming(model)),
    "ainvoke": lambda model: WHOLES["ainvoke"](streaming(model)),
    "batch": lambda model: WHOLES["batch"](streaming(model)),
}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
ROLE = delta("", role="assistant")
CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
ITEM = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}


def text(said: str) -> bytes:
    return event(
        "response.output_text.delta",
        item_id="msg_1",
        output_index=0,
        content_index=0,
        delta=said,
        logprobs=[],
    )


RESPONSE_BEGINS = (
    event("response.created", response=response()),
    event("response.output_item.added", output_index=0, item=ITEM),
    event(
        "response.content_part.added",
        item_id="msg_1",
        output_index=0,
        content_index=0,
        part={"type": "output_text", "text": "", "annotations": []},
    ),
    text("one "),
    text("two"),
)
HALVES: dict[str, Answer] = {
    "no end": stream(ROLE, delta("one "), delta("two"), done=False),
    "an end without a reason": stream(ROLE, delta("one "), delta("two")),
    "usage without a reason": stream(ROLE, delta("one "), delta("two"), chunk(usage=USAGE)),
    "an empty reason": stream(ROLE, delta("one "), delta("two"), delta("", finish="")),
    "half an event": stream(ROLE, delta("one "), delta("two"), b'data: {"id":"c"', done=False),
}
WHOLE: dict[str, Answer] = {
    "stop": stream(ROLE, delta("one "), delta("two", finish="stop")),
    "length": stream(ROLE, delta("one "), delta("two"), delta(finish="length")),
    "content_filter": stream(delta("one "), delta("two"), delta("", finish="content_filter")),
    "no [DONE]": stream(ROLE, delta("one two", finish="stop"), done=False),
    "usage after it": stream(delta("one two"), delta(finish="stop"), chunk(usage=USAGE)),
    "usage with it": stream(
        delta("one two"),
        chunk({"index": 0, "delta": {}, "finish_reason": "stop"}, usage=USAGE),
        done=False,
    ),
    "something after it": stream(delta("one two"), delta(finish="stop"), delta(""), delta("")),
}
NO_ANSWER: dict[str, Answer] = {
    "nothing": stream(),
    "not a byte": stream(done=False),
    "a role": stream(ROLE),
}
TOOLS = stream(
    delta(tool_calls=[CALL]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
    done=False,
)


def said(chunks: Any) -> str:
    return (
        "".join(str(each.content) for each in chunks)
        if isinstance(chunks, list)
        else str(chunks.content)
    )


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("half", HALVES)
def test_a_stream_without_a_finish_reason_raises_an_error_with_the_partial_message(
    half: str, call: str
) -> None:
    with Scripted(HALVES[half]) as server, pytest.raises(AnswerCutShort) as caught:
        CALLS[call](ChatVllm(**server.settings))
    assert caught.value.partial.content == "one two"
    assert len(server.requests) == 1, "a half is not asked for again"


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("call", ["stream", "astream"])
@pytest.mark.parametrize("half", NO_ANSWER)
def test_an_empty_answer_is_incomplete(half: str, call: str, raw: bool) -> None:
    with Scripted(NO_ANSWER[half]) as server, pytest.raises(AnswerCutShort):
        CALLS[call](ChatVllm(**server.settings, raw_chunks=raw))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("half", HALVES)
def test_require_finish_reason_can_be_switched_off(half: str, call: str) -> None:
    with Scripted(HALVES[half]) as server:
        answer = CALLS[call](ChatVllm(**server.settings, require_finish_reason=False))
    assert said(answer) == "one two"


def test_require_finish_reason_can_be_switched_off_in_a_copy() -> None:
    with Scripted(HALVES["no end"]) as server:
        model = ChatVllm(**server.settings).model_copy(update={"require_finish_reason": False})
        assert said(list(model.stream("Why?"))) == "one two"


@pytest.mark.parametrize("call", ["stream", "achain", "invoke", "ainvoke"])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("end", WHOLE)
def test_an_answer_with_a_finish_reason_is_whole_whatever_follows(
    end: str, raw: bool, call: str
) -> None:
    with Scripted(WHOLE[end]) as server:
        assert said(CALLS[call](ChatVllm(**server.settings, raw_chunks=raw))) == "one two"


@pytest.mark.parametrize("call", ["stream", "astream"])
def test_several_choices_are_whole(call: str) -> None:
    """LangChain takes the first choice of each chunk, whichever it is."""
    events = [delta(f"{index}", index=index) for index in (0, 1)] + [
        delta(finish="stop", index=index) for index in (1, 0)
    ]
    with Scripted(stream(*events)) as server:
        assert said(CALLS[call](ChatVllm(**server.settings).bind(n=2))) == "01"


@pytest.mark.parametrize("call", ["stream", "astream", "events"])
def test_half_a_tool_call_is_incomplete(call: str) -> None:
    with Scripted(TOOLS) as server, pytest.raises(AnswerCutShort) as caught:
        CALLS[call](ChatVllm(**server.settings))
    assert caught.value.partial.tool_call_chunks[0]["args"] == '{"a": 1}'


def test_a_tool_call_with_a_finish_reason_is_whole() -> None:
    with Scripted(stream(*TOOLS.pieces, delta(finish="tool_calls"))) as server:
        answer = streaming(ChatVllm(**server.settings)).invoke("Why?")
    assert answer.tool_calls[0]["args"] == {"a": 1}


class Person(BaseModel):
    name: str
    age: int


def structured(call: str, server: Scripted) -> list[Any]:
    model = ChatVllm(**server.settings).with_structured_output(Person, method="json_schema")
    return list(STREAMS[call](model))


@pytest.mark.parametrize("call", ["stream", "astream"])
def test_half_a_text_with_a_schema_is_incomplete_and_not_an_error_of_the_model(call: str) -> None:
    with (
        Scripted(stream(ROLE, delta('{"name": "A'), delta('da"'))) as server,
        pytest.raises(AnswerCutShort) as caught,
    ):
        structured(call, server)
    assert said([caught.value.partial]) == '{"name": "Ada"'
    assert isinstance(caught.value.__cause__, ValidationError)


@pytest.mark.parametrize("call", ["stream", "astream"])
def test_a_whole_text_that_does_not_fit_its_schema_is_an_error_of_the_model(call: str) -> None:
    with (
        Scripted(stream(ROLE, delta('{"name": "Ada"}'), delta(finish="stop"))) as server,
        pytest.raises(ValidationError),
    ):
        structured(call, server)


@pytest.mark.parametrize("call", CALLS)
def test_a_response_that_is_not_completed_is_incomplete(call: str) -> None:
    with Scripted(Answer(RESPONSE_BEGINS)) as server, pytest.raises(AnswerCutShort) as caught:
        CALLS[call](ChatVllm(**server.settings, use_responses_api=True))
    assert "two" in str(caught.value.partial.content)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("end", ["completed", "incomplete"])
def test_a_response_with_a_final_status_is_whole(end: str, call: str) -> None:
    more = {"incomplete_details": {"reason": "max_output_tokens"}} if end == "incomplete" else {}
    last = event(f"response.{end}", response=response(end, **more))
    with Scripted(Answer([*RESPONSE_BEGINS, last])) as server:
        assert "two" in str(CALLS[call](ChatVllm(**server.settings, use_responses_api=True)))


def test_a_response_without_a_final_status_is_accepted_on_request() -> None:
    with Scripted(Answer(RESPONSE_BEGINS)) as server:
        model = ChatVllm(**server.settings, use_responses_api=True, require_finish_reason=False)
        assert "two" in str(list(model.stream("Why?")))


@pytest.mark.parametrize("is_async", [True, False])
def test_the_error_survives_pickling_with_its_partial_message(is_async: bool) -> None:
    with Scripted(HALVES["no end"]) as server, pytest.raises(AnswerCutShort) as caught:
        STREAMS["astream" if is_async else "stream"](ChatVllm(**server.settings))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.chunks) == (
        AnswerCutShort,
        str(caught.value),
        caught.value.chunks,
    )
    assert again.partial.content == "one two"


def test_a_whole_answer_needs_no_finish_reason() -> None:
    """It came in one piece; a half of it would be no JSON."""
    with Scripted(whole("one two", finish=None)) as server:
        assert ChatVllm(**server.settings).invoke("Why?").content == "one two"


@pytest.mark.parametrize(("options", "whole"), [({}, True), ({"needs_reason": True}, False)])
def test_text_alone_is_whole_unless_a_finish_reason_has_to_come(
    options: dict[str, bool], whole: bool
) -> None:
    said = MessageAccumulator(**options)
    said.add(ChatGenerationChunk(message=AIMessageChunk(content="so far")))
    assert said.whole is whole


@pytest.mark.parametrize(
    ("content", "reasoning", "says"),
    [("", "", False), ("", "so", True), ("a", "", True), ("a", "so", True)],
)
def test_a_chunk_without_text_and_thoughts_says_nothing(
    content: str, reasoning: str, says: bool
) -> None:
    """vLLM begins a thoughtful answer with such a chunk."""
    message = AIMessageChunk(content=content, additional_kwargs={REASONING: reasoning})
    assert MessageAccumulator().add(ChatGenerationChunk(message=message)) is says
