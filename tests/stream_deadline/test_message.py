"""What the chunks of a chat model say, and what they add up to."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessageChunk, ChatMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from stream_deadline._message import REASONING, MessageAccumulator, reasoning_of

USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
CALL = tool_call_chunk(name="search", args="{}", id="1", index=0)


def chunk(
    content: Any = "", info: dict[str, Any] | None = None, **fields: Any
) -> ChatGenerationChunk:
    return ChatGenerationChunk(
        message=AIMessageChunk(content=content, **fields), generation_info=info
    )


def thought(text: Any, content: str = "", **more: Any) -> ChatGenerationChunk:
    return chunk(content, additional_kwargs={REASONING: text, **more})


@pytest.mark.parametrize(
    ("item", "says_something", "ends"),
    [
        (chunk("a"), True, False),
        (chunk(""), False, False),
        (chunk("", {"finish_reason": "stop"}), True, True),
        (chunk("a", {"finish_reason": "stop"}), True, True),
        (chunk("", {"finish_reason": None}), False, False),
        (chunk("", {"model_name": "m"}), False, False),
        (chunk("", usage_metadata=USAGE), True, False),
        (chunk("", tool_call_chunks=[CALL]), True, False),
        (chunk("a", tool_call_chunks=[CALL]), True, False),
        (thought("hm"), True, False),
        (thought("", "a"), True, False),
        (thought(""), False, False),
        (thought(3), True, False),
        (thought("hm", refusal="no"), True, False),
        (thought("", refusal=""), True, False),
        (chunk("", additional_kwargs={"refusal": "no"}), True, False),
        (chunk("", additional_kwargs={"refusal": ""}), True, False),
        (chunk([]), False, False),
        (chunk([{"type": "text", "text": "a"}]), True, False),
        (chunk([], tool_call_chunks=[CALL]), True, False),
        (chunk([], {"finish_reason": "stop"}), True, True),
        (chunk("", response_metadata={"status": "completed", "id": "1"}), True, True),
        (chunk([], response_metadata={"finish_reason": "stop", "id": "1"}), True, True),
        (chunk("", response_metadata={"id": "1", "model": "m"}), False, False),
        (chunk("", response_metadata={"status": "completed"}), False, False),
        (ChatGenerationChunk(message=ChatMessageChunk(content="a", role="x")), True, False),
        (ChatGenerationChunk(message=ChatMessageChunk(content="", role="x")), False, False),
        (ChatGenerationChunk(message=ChatMessageChunk(content=[], role="x")), False, False),
        (ChatResult(generations=[]), True, True),
    ],
    ids=range(29),
)
def test_a_chunk_says_something_or_ends_the_answer(
    item: Any, says_something: bool, ends: bool
) -> None:
    needy, modest = MessageAccumulator(needs_reason=True), MessageAccumulator()
    assert (needy.whole, modest.whole) == (False, True)
    assert needy.add(item) is says_something
    assert modest.add(item) is says_something
    assert (needy.whole, modest.whole) == (ends, True)


def test_an_answer_that_has_ended_stays_whole() -> None:
    accumulator = MessageAccumulator(needs_reason=True)
    accumulator.add(chunk("", {"finish_reason": "stop"}))
    accumulator.add(chunk("", usage_metadata=USAGE))
    assert accumulator.whole


def test_an_answer_whose_finish_came_elsewhere_is_whole() -> None:
    accumulator = MessageAccumulator(needs_reason=True)
    accumulator.finish()
    assert accumulator.whole


def test_a_reasoning_with_a_finish_says_something() -> None:
    accumulator = MessageAccumulator()
    item = thought("")
    item.generation_info = {"finish_reason": "stop"}
    assert accumulator.add(item) is True


def partial(*items: Any) -> AIMessageChunk | None:
    accumulator = MessageAccumulator()
    for item in items:
        accumulator.add(item)
    first = accumulator.partial()
    assert accumulator.partial() == first, "it may be read again"
    return first


def test_texts_and_reasoning_are_merged() -> None:
    assert partial(chunk("a"), thought("h"), thought("m", "b"), chunk("c")) == AIMessageChunk(
        content="abc", additional_kwargs={REASONING: "hm"}
    )
    assert partial(chunk("a"), chunk(""), chunk("b")) == AIMessageChunk(content="ab")
    assert partial(thought("h")) == AIMessageChunk(content="", additional_kwargs={REASONING: "h"})


def test_nothing_is_merged_of_nothing() -> None:
    assert partial() is None
    assert partial(chunk("")) is None
    assert partial(ChatResult(generations=[])) is None


def test_tool_calls_are_merged_in_their_place() -> None:
    more = tool_call_chunk(name=None, args=" ", id=None, index=0)
    whole = partial(
        chunk("a"),
        chunk("b", tool_call_chunks=[CALL]),
        chunk("", tool_call_chunks=[more]),
        chunk("c"),
    )
    assert whole is not None
    assert whole.content == "abc"
    assert [(call["name"], call["args"]) for call in whole.tool_call_chunks] == [("search", "{} ")]


def test_chunks_of_another_role_are_merged_as_the_model_s() -> None:
    other = ChatGenerationChunk(message=ChatMessageChunk(content="b", role="x"))
    blocks: BaseMessageChunk = ChatMessageChunk(content=["c"], role="x")
    whole = partial(chunk("a"), other, ChatGenerationChunk(message=blocks))
    assert isinstance(whole, AIMessage)
    assert whole.content == ["ab", "c"]


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        ({}, None),
        ({"reasoning": "a"}, "a"),
        ({"reasoning_content": "b"}, "b"),
        ({"reasoning": "a", "reasoning_content": "b"}, "b"),
        ({"reasoning": "a", "reasoning_content": ""}, "a"),
        ({"reasoning": ""}, None),
        ({"reasoning": {"effort": "high"}}, None),
    ],
)
def test_reasoning_has_two_names(message: dict[str, Any], reasoning: str | None) -> None:
    assert reasoning_of(message) == reasoning
