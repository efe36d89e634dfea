"""Chunks and whole answers as `ReasoningChatOpenAI` makes them, without a server."""

from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, SystemMessageChunk
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletion

from stream_deadline._reasoning_chat import ReasoningChatOpenAI
from stream_deadline._text_chunks import Pattern
from tests.stream_deadline.tracked import TrackedCall

HOW: dict[str, Any] = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key": "none"}
MODEL, LANGCHAINS = ReasoningChatOpenAI(**HOW), ChatOpenAI(**HOW)
ENDS: dict[str, Any] = {"index": 0, "finish_reason": "stop"}


class Call(TrackedCall):
    """A call under way, for which chunks are made."""

    def __init__(self, raw: bool = True) -> None:
        super().__init__(raw=raw)

    def made(self, chunk: Any, kind: type = AIMessageChunk, info: Any = None) -> Any:
        """Return what becomes of a chunk in this call."""
        return self.tracker.context().run(converted, MODEL, chunk, kind, info)


def converted(model: Any, chunk: Any, kind: type = AIMessageChunk, info: Any = None) -> Any:
    return model._convert_chunk_to_generation_chunk(chunk, kind, info)


def chunk(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}


def thoughts(message: Any) -> Any:
    return message.additional_kwargs.get("reasoning_content")


def test_texts_are_copied_from_the_first_one_and_equal_langchains() -> None:
    call, patterns = Call(), []
    for number in range(4):
        said = chunk(content=f"word{number} ")
        assert call.made(said) == converted(LANGCHAINS, said)
        patterns.append(call.tracker.pattern)
    assert patterns[0]
    assert all(pattern is patterns[0] for pattern in patterns)
    assert call.heard == []


def test_a_text_is_copied_without_langchain() -> None:
    """The words show it, which LangChain did not see."""
    call = Call()
    call.made(chunk(content="first"))
    made = converted(LANGCHAINS, chunk(content="another", role="assistant"))
    made.message.response_metadata["from"] = "the pattern"
    call.tracker.pattern = Pattern(made, "another")
    assert call.made(chunk(content="x")).message.response_metadata["from"] == "the pattern"


@pytest.mark.parametrize(
    ("said", "kind", "info"),
    [
        (chunk(content="x", role="assistant"), AIMessageChunk, None),
        (chunk(content=""), AIMessageChunk, None),
        (chunk(content="x"), SystemMessageChunk, None),
        (chunk(content="x"), AIMessageChunk, {"headers": {"a": "b"}}),
    ],
)
def test_other_chunks_are_neither_copied_nor_a_pattern(said: Any, kind: type, info: Any) -> None:
    call = Call()
    wanted = converted(LANGCHAINS, said, kind, info)
    assert call.made(said, kind, info) == wanted
    assert call.tracker.pattern is None
    call.made(chunk(content="first"))
    made = call.made(said, kind, info)
    assert made == wanted
    assert type(made.message) is type(wanted.message)


def test_a_first_chunk_with_nothing_of_the_headers_may_be_a_pattern() -> None:
    call = Call()
    assert call.made(chunk(content="x"), AIMessageChunk, {}) is not None
    assert call.tracker.pattern


def test_chunks_that_are_not_raw_and_those_of_no_call_are_langchains() -> None:
    call = Call(raw=False)
    for number in range(2):
        said = chunk(content=f"word{number} ")
        assert call.made(said) == converted(MODEL, said) == converted(LANGCHAINS, said)
        assert call.tracker.pattern is None


def test_a_chunk_that_does_not_fit_is_no_pattern_and_stays_the_only_one_tried() -> None:
    call = Call()
    made = converted(LANGCHAINS, chunk(content="first"))
    odd = call.tracker.pattern = Pattern(made, "another text")
    assert not odd
    said = chunk(content="x")
    assert call.made(said) == converted(LANGCHAINS, said)
    assert call.tracker.pattern is odd


NO_DELTA = {**ENDS, "delta": None}
TEXT = {"index": 0, "delta": {"content": "x"}}


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({"choices": [NO_DELTA]}, ["finish"]),
        ({"choices": [{"index": 0, "delta": None}]}, []),
        ({"choices": [{**ENDS, "delta": {"content": "x"}}]}, []),  # the chunk says so itself
        ({"choices": [TEXT, {**ENDS, "index": 1, "delta": {}}]}, ["finish"]),
        ({"choices": [TEXT, {"index": 1, "delta": {"content": "y"}}]}, []),
        ({"choices": [TEXT, {"index": 1}, {**ENDS, "index": 2}]}, ["finish"]),
        ({"choices": []}, []),
        ({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}, []),
        ({"type": "content.delta"}, []),
        ({"type": "chunk", "chunk": {"choices": [NO_DELTA]}}, ["finish"]),
        ({"type": "chunk", "chunk": {"choices": [TEXT]}}, []),
    ],
)
def test_a_finish_reason_that_langchain_drops_is_reported(
    said: dict[str, Any], heard: list[str]
) -> None:
    call = Call()
    assert call.made(said) == converted(LANGCHAINS, said)
    assert call.heard == heard
    assert converted(MODEL, said) == converted(LANGCHAINS, said)  # also outside of a call


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize(
    ("delta", "kept", "heard"),
    [
        ({"reasoning": "hm"}, "hm", []),
        ({"reasoning_content": "hm"}, "hm", []),
        ({"content": "", "reasoning": "hm"}, "hm", []),
        ({"content": "x", "reasoning": "hm"}, "hm", []),
        ({"reasoning": ""}, None, []),
        ({"refusal": "no"}, None, ["progress"]),
        ({"content": "", "refusal": "no"}, None, ["progress"]),
        ({"content": None, "audio": {"data": "A"}}, None, ["progress"]),
        # These are in the message itself.
        ({"content": "x", "refusal": "no"}, None, []),
        ({"role": "assistant"}, None, []),
        ({"role": "assistant", "content": ""}, None, []),
        ({"content": "x", "role": "assistant"}, None, []),
        ({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}, None, []),
        ({"content": "", "refusal": None, "annotations": []}, None, []),
        ({}, None, []),
    ],
)
def test_reasoning_is_kept_and_other_words_that_are_dropped_are_progress(
    delta: dict[str, Any], kept: str | None, heard: list[str], outer: bool
) -> None:
    said = {"chunk": chunk(**delta)} if outer else chunk(**delta)
    call = Call()
    made, wanted = call.made(said), converted(LANGCHAINS, said)
    assert thoughts(made.message) == kept
    assert ("reasoning_content" in made.message.additional_kwargs) is (kept is not None)
    assert made.message.content == wanted.message.content
    assert call.heard == heard
    assert thoughts(converted(MODEL, said).message) == kept  # also outside of a call


def answer(*messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": number, "finish_reason": "stop", "message": {"role": "assistant", **message}}
            for number, message in enumerate(messages)
        ],
    }


@pytest.mark.parametrize("as_object", [True, False])
def test_each_choice_of_a_whole_answer_has_its_own_reasoning(as_object: bool) -> None:
    said: Any = answer(
        {"content": "a", "reasoning": "hm"},
        {"content": "b"},
        {"content": "c", "reasoning_content": "so"},
        {"content": "d", "reasoning": ""},
    )
    result = MODEL._create_chat_result(ChatCompletion.model_validate(said) if as_object else said)
    messages = [generation.message for generation in result.generations]
    assert [message.content for message in messages] == ["a", "b", "c", "d"]
    assert [thoughts(message) for message in messages] == ["hm", None, "so", None]
    assert "reasoning_content" not in messages[1].additional_kwargs


def test_a_message_without_more_has_no_reasoning() -> None:
    completion = ChatCompletion.model_validate(answer({"content": "a"}))
    object.__setattr__(completion.choices[0].message, "__pydantic_extra__", None)
    assert thoughts(MODEL._create_chat_result(completion).generations[0].message) is None


def test_the_last_chunk_of_a_stream_with_a_schema_does_not_repeat_the_reasoning() -> None:
    completion = ChatCompletion.model_validate(answer({"content": "{}", "reasoning": "hm"}))
    last = MODEL._get_generation_chunk_from_completion(completion)
    assert "reasoning_content" not in last.message.additional_kwargs
    assert SimpleNamespace(**last.generation_info or {}).model_name == "m"
