"""Reasoning counts as progress, and reaches the user once and in order."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from pydantic import BaseModel

from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_deadline._errors import AnswerCutShort
from tests.at_once import at_once
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

NAMES: dict[str, tuple[str, ...]] = {
    "reasoning": ("reasoning",),
    "reasoning_content": ("reasoning_content",),
    "both": ("reasoning", "reasoning_content"),
}
# A stream that says something takes longer than its bounds, and its pauses are a fortieth of them:
# a machine that stands still for a while is not taken for a server that does.
PAUSE, STEPS, WIDE = 0.05, 50, 2.0
SHORT = 0.3  # for bounds that are to act; nothing is said for twenty times as long
ROLE = delta("", role="assistant")
USAGE = {
    "prompt_tokens": 1,
    "completion_tokens": 9,
    "total_tokens": 10,
    "completion_tokens_details": {"reasoning_tokens": 5},
}
each_way = pytest.mark.parametrize(
    ("is_async", "raw"), [(True, True), (False, False)], ids=["raw, async", "by the SDK"]
)
raw_or_not = pytest.mark.parametrize("raw", [True, False], ids=["raw", "by the SDK"])
by_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module", autouse=True)
def _everything_is_imported() -> None:
    """The first call of a kind imports and compiles, for seconds on a busy machine."""
    for call in ("stream", "astream"):
        for raw in (True, False):
            with Scripted(thinks("reasoning")) as server:
                STREAMS[call](ChatVllm(**server.settings, raw_chunks=raw))
        with Scripted(Answer([*BEGINS, *THINKING["text"], ENDS])) as server:
            STREAMS[call](ChatVllm(**server.settings, use_responses_api=True))


def thought(name: str, text: str | None, **more: Any) -> bytes:
    return delta(**dict.fromkeys(NAMES[name], text), **more)


def thinks(name: str) -> Answer:
    """Thoughts, a delta that ends them and begins the answer, and the rest of it."""
    return stream(
        ROLE,
        thought(name, "Let me "),
        thought(name, "think"),
        thought(name, "."),
        thought(name, " Done.", content="It "),
        delta("is."),
        delta("", finish="stop"),
        chunk(usage=USAGE),
    )


def merged(chunks: Any) -> AIMessageChunk:
    if not isinstance(chunks, list):
        return chunks  # type: ignore[no-any-return]
    first, *others = chunks
    return first + others if others else first  # type: ignore[no-any-return]


def thoughts(message: Any) -> Any:
    return message.additional_kwargs.get("reasoning_content")


IN_PARTS: dict[str, Callable[[Any], Any]] = {
    **STREAMS,
    "invoke": lambda model: WHOLES["invoke"](streaming(model)),
    "ainvoke": lambda model: WHOLES["ainvoke"](streaming(model)),
}


@raw_or_not
@by_name
@pytest.mark.parametrize("call", IN_PARTS)
def test_reasoning_comes_once_and_in_order_beside_the_answer(
    call: str, name: str, raw: bool
) -> None:
    with Scripted(thinks(name)) as server:
        answer = merged(IN_PARTS[call](ChatVllm(**server.settings, raw_chunks=raw)))
    assert (thoughts(answer), answer.content) == ("Let me think. Done.", "It is.")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 9
    assert answer.usage_metadata["output_token_details"]["reasoning"] == 5


@raw_or_not
def test_reasoning_comes_chunk_by_chunk(raw: bool) -> None:
    with Scripted(thinks("reasoning")) as server:
        chunks = list(ChatVllm(**server.settings, raw_chunks=raw).stream("Why?"))
    assert [thoughts(each) for each in chunks if thoughts(each)] == [
        "Let me ",
        "think",
        ".",
        " Done.",
    ]
    assert next(each.content for each in chunks if thoughts(each) == " Done.") == "It "


@by_name
@pytest.mark.parametrize("call", ["invoke", "ainvoke", "batch"])
def test_a_whole_answer_has_its_reasoning_too(call: str, name: str) -> None:
    with Scripted(whole("It is.", **dict.fromkeys(NAMES[name], "Let me think."))) as server:
        answer = WHOLES[call](ChatVllm(**server.settings))
    assert (thoughts(answer), answer.content) == ("Let me think.", "It is.")


def test_a_whole_answer_without_reasoning_has_no_empty_field() -> None:
    for empty in (None, ""):
        with Scripted(whole("It is.", reasoning=empty, reasoning_content="")) as server:
            assert (
                "reasoning_content"
                not in ChatVllm(**server.settings).invoke("Why?").additional_kwargs
            )


@each_way
@by_name
@at_once
def test_the_partial_message_of_an_error_has_the_reasoning(
    is_async: bool, name: str, raw: bool
) -> None:
    answer = Answer(thinks(name).pieces[:4], stalls=True)
    with Scripted(answer) as server, pytest.raises(StreamDeadlineExceeded) as caught:
        STREAMS["astream" if is_async else "stream"](
            ChatVllm(**server.settings, raw_chunks=raw, idle_timeout=SHORT)
        )
    assert thoughts(caught.value.partial) == "Let me think."
    with Scripted(Answer(thinks(name).pieces[:5])) as server, pytest.raises(AnswerCutShort) as cut:
        STREAMS["astream" if is_async else "stream"](ChatVllm(**server.settings, raw_chunks=raw))
    assert (thoughts(cut.value.partial), cut.value.partial.content) == (
        "Let me think. Done.",
        "It ",
    )


class Reply(BaseModel):
    """A reply."""

    text: str


@by_name
@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
@pytest.mark.parametrize("is_async", [True, False])
def test_a_structured_answer_does_not_have_its_reasoning_twice(
    is_async: bool, method: Any, name: str
) -> None:
    words = json.dumps({"text": "hi"})
    call = {
        "index": 0,
        "id": "t",
        "type": "function",
        "function": {"name": "Reply", "arguments": words},
    }
    said = (
        [delta(tool_calls=[call])]
        if method == "function_calling"
        else [delta(words[:5]), delta(words[5:])]
    )
    events = [ROLE, thought(name, "Let "), thought(name, "me."), *said, delta("", finish="stop")]
    with Scripted(stream(*events)) as server:
        chain = ChatVllm(**server.settings).with_structured_output(
            Reply, method=method, include_raw=True
        )

        async def last() -> Any:
            return [each async for each in chain.astream("Why?")]

        steps = asyncio.run(last()) if is_async else list(chain.stream("Why?"))
    raws = [each["raw"] for each in steps if isinstance(each, dict) and each.get("raw") is not None]
    assert thoughts(merged(raws)) == "Let me."
    assert next(each["parsed"] for each in reversed(steps) if each.get("parsed")) == Reply(
        text="hi"
    )


# What is progress, and what is silence

PROGRESS: dict[str, dict[str, Any]] = {
    "reasoning": {"reasoning": "x"},
    "reasoning_content": {"reasoning_content": "x"},
    "content": {"content": "x"},
    "refusal": {"refusal": "x"},
    "annotations": {"annotations": [{"type": "url_citation"}]},
    "audio": {"audio": {"id": "a", "data": "AAAA"}},
    "reasoning_details": {"reasoning_details": [{"type": "reasoning.text", "text": "x"}]},
    "tool calls": {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]},
    "function call": {"function_call": {"arguments": "x"}},
    "beside an empty content": {"role": "assistant", "content": "", "reasoning": "x"},
    "a blank": {"content": " "},
    "a blank thought": {"reasoning": "\n"},
}
SILENCE: dict[str, dict[str, Any]] = {
    "empty": {},
    "empty content": {"content": ""},
    "no content": {"content": None},
    "role": {"role": "assistant"},
    "role and empty content": {"role": "assistant", "content": ""},
    "empty thoughts": {"reasoning": "", "reasoning_content": ""},
    "no thoughts": {"content": "", "reasoning": None, "reasoning_content": None},
    "no tools": {"content": "", "tool_calls": []},
    "all that there is, and nothing": {
        "content": None,
        "refusal": None,
        "tool_calls": None,
        "audio": None,
        "annotations": [],
    },
}


@each_way
@pytest.mark.parametrize("said", PROGRESS)
@at_once
def test_a_delta_with_content_resets_idle(said: str, is_async: bool, raw: bool) -> None:
    events = [delta(**PROGRESS[said])] * STEPS
    with Scripted(stream(ROLE, *events, delta(finish="stop"), gap=PAUSE)) as server:
        model = ChatVllm(
            **server.settings, raw_chunks=raw, idle_timeout=WIDE, first_chunk_timeout=WIDE
        )
        STREAMS["astream" if is_async else "stream"](model)


@each_way
@pytest.mark.parametrize("part", ["first_chunk_timeout", "idle_timeout"])
@pytest.mark.parametrize("said", SILENCE)
@at_once
def test_an_empty_delta_does_not_reset_idle(
    said: str, part: str, is_async: bool, raw: bool
) -> None:
    first = [delta("x")] if part == "idle_timeout" else []
    with (
        Scripted(stream(ROLE, *first, *[delta(**SILENCE[said])] * 200, gap=0.03)) as server,
        pytest.raises(StreamDeadlineExceeded) as caught,
    ):
        STREAMS["astream" if is_async else "stream"](
            ChatVllm(**server.settings, raw_chunks=raw, **{part: SHORT})
        )
    assert caught.value.bound == part


# The Responses API

ITEM = {"type": "reasoning", "id": "rs_1", "summary": []}
SUMMARY = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
TEXT = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
BEGINS = [
    event("response.created", response=response()),
    event("response.in_progress", response=response()),
]
THINKING: dict[str, list[bytes]] = {
    "summary": [
        event("response.output_item.added", output_index=0, item=ITEM),
        event(
            "response.reasoning_summary_part.added",
            **SUMMARY,
            part={"type": "summary_text", "text": ""},
        ),
        *[event("response.reasoning_summary_text.delta", **SUMMARY, delta="hm ")] * STEPS,
    ],
    "text": [
        event("response.output_item.added", output_index=0, item=ITEM),
        *[
            event(
                "response.reasoning_text.delta",
                item_id="rs_1",
                output_index=0,
                content_index=0,
                delta="hm ",
            ),
        ]
        * STEPS,
    ],
    "refusal": [*[event("response.refusal.delta", **TEXT, delta="no ")] * STEPS],
    "arguments": [
        event(
            "response.output_item.added",
            output_index=1,
            item={
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c",
                "name": "f",
                "arguments": "",
                "status": "in_progress",
            },
        ),
        *[
            event(
                "response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta="1"
            )
        ]
        * STEPS,
    ],
}
ENDS = event("response.completed", response=response("completed"))
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("kind", THINKING)
@at_once
def test_a_response_that_reasons_is_not_idle(kind: str, is_async: bool) -> None:
    with Scripted(Answer([*BEGINS, *THINKING[kind], ENDS], gap=PAUSE)) as server:
        model = ChatVllm(
            **server.settings, use_responses_api=True, idle_timeout=WIDE, first_chunk_timeout=WIDE
        )
        chunks = STREAMS["astream" if is_async else "stream"](model)
    if kind in ("summary", "text"):
        assert (
            json.dumps([[each.content, each.additional_kwargs] for each in chunks]).count("hm ")
            == STEPS
        )


@pytest.mark.parametrize("is_async", [True, False])
def test_the_creation_of_a_response_is_not_a_first_chunk(is_async: bool) -> None:
    events = [BEGINS[0], *[BEGINS[1]] * 200]
    with Scripted(Answer(events, gap=0.03)) as server:
        model = ChatVllm(**server.settings, use_responses_api=True, first_chunk_timeout=SHORT)
        with pytest.raises(StreamDeadlineExceeded) as caught:
            STREAMS["astream" if is_async else "stream"](model)
    assert caught.value.bound == "first_chunk_timeout"


@pytest.mark.parametrize("is_async", [True, False])
def test_an_empty_item_or_part_of_a_response_is_not_a_first_chunk(is_async: bool) -> None:
    """An item or a part that is opened, and stays empty."""
    part = {"type": "output_text", "text": "", "annotations": []}
    frame = [
        event("response.output_item.added", output_index=1, item=MESSAGE),
        event("response.content_part.added", **TEXT, part=part),
    ]
    with Scripted(Answer([*BEGINS, *frame * 100], gap=0.03)) as server:
        model = ChatVllm(**server.settings, use_responses_api=True, first_chunk_timeout=SHORT)
        with pytest.raises(StreamDeadlineExceeded) as caught:
            STREAMS["astream" if is_async else "stream"](model)
    assert caught.value.bound == "first_chunk_timeout"
