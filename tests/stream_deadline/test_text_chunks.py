"""A copied chunk equals LangChain's, and shares nothing with its original."""

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai.chat_models.base import BaseChatOpenAI

from stream_deadline import ChatVllm
from stream_deadline._text_chunks import Pattern, text_of
from tests.stream_deadline.calls import STREAMS
from tests.stream_deadline.scripted import Scripted, delta, stream

CALLS = ("stream", "astream")
WORDS = [f"word{number} " for number in range(10)]
MODEL = ChatVllm(model="m", base_url="http://127.0.0.1:9/v1", api_key="none")


def said(text: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{**choice, **more}],
    }


def made(text: str, model: ChatVllm = MODEL) -> ChatGenerationChunk:
    found = BaseChatOpenAI._convert_chunk_to_generation_chunk(
        model, said(text), AIMessageChunk, None
    )
    assert found is not None
    return found


@given(st.text(min_size=1))
def test_a_copy_equals_langchains_chunk(text: str) -> None:
    copied, other = Pattern(made("first"), "first").copy(text), made(text)
    assert copied == other
    assert copied.message == other.message
    assert repr(copied) == repr(other)
    for one, two in ((copied, other), (copied.message, other.message)):
        assert one.model_fields_set == two.model_fields_set
        assert one.model_dump() == two.model_dump()
        assert pickle.loads(pickle.dumps(one)) == two
    assert copied + made("more") == other + made("more")


def test_copies_share_nothing_mutable() -> None:
    first = made("first")
    pattern = Pattern(first, "first")
    copied = pattern.copy("second")
    for chunk in (first, copied):
        message = chunk.message
        assert isinstance(message, AIMessageChunk)
        message.id, message.additional_kwargs["x"], message.response_metadata["x"] = "run", 1, 1
        lists: list[list[Any]] = [
            message.tool_calls,
            message.invalid_tool_calls,
            message.tool_call_chunks,
        ]
        for each in lists:
            each.append({})
        message.content, chunk.generation_info = "", {"x": 1}
    assert pattern.copy("third") == made("third")


@pytest.mark.parametrize(
    "chunk",
    [
        said(""),
        said("a", finish_reason="stop"),
        said("a", logprobs={"content": []}),
        said("a", delta={"content": "a", "role": "assistant"}),
        said("a", delta={"content": "a", "reasoning": "b"}),
        said("a", delta={"reasoning": "b"}),
        said("a", delta={"content": ["a"]}),
        said("a", delta=None),
        {**said("a"), "usage": {"total_tokens": 1}},
        {**said("a"), "type": "chunk"},
        {**said("a"), "choices": []},
        {**said("a"), "choices": said("a")["choices"] * 2},
        {"choices": None},
        {},
    ],
    ids=str,
)
def test_a_chunk_that_is_not_plain_text_goes_through_langchain(chunk: dict[str, Any]) -> None:
    assert text_of(said("a")) == "a"
    assert text_of(chunk) is None


@pytest.mark.parametrize(
    "change",
    [
        {"generation_info": {"x": 1}},
        {"message": AIMessageChunk(content="first", additional_kwargs={"x": 1})},
        {"message": AIMessageChunk(content="FIRST")},
        {"text": "FIRST"},
    ],
    ids=str,
)
def test_a_chunk_that_was_changed_is_not_copied(change: dict[str, Any]) -> None:
    chunk = made("first")
    assert Pattern(chunk, "first")
    for name, value in change.items():
        object.__setattr__(chunk, name, value)
    assert not Pattern(chunk, "first")


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with Scripted(stream(*map(delta, WORDS), delta(finish="stop"))) as server:
        yield server


@pytest.mark.parametrize("call", CALLS)
def test_langchain_makes_only_the_first_text_chunk(
    call: str, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, real = [], BaseChatOpenAI._convert_chunk_to_generation_chunk

    def convert(self: Any, chunk: dict[str, Any], *more: Any) -> Any:
        texts.append(text_of(chunk))
        return real(self, chunk, *more)

    monkeypatch.setattr(BaseChatOpenAI, "_convert_chunk_to_generation_chunk", convert)
    model = ChatVllm(**server.settings)
    for _ in range(2):
        assert [each.content for each in STREAMS[call](model) if each.content] == WORDS
    assert [text for text in texts if text] == [WORDS[0]] * 2


class Counting(ChatVllm):
    """Does something to each chunk, as a subclass may."""

    def _convert_chunk_to_generation_chunk(self, *args: Any) -> Any:
        found = super()._convert_chunk_to_generation_chunk(*args)
        if found is not None:
            found.message.additional_kwargs["length"] = len(found.text)
        return found


class Loud(BaseChatOpenAI):
    """Does it from below, as a mixin may."""

    def _convert_chunk_to_generation_chunk(self, *args: Any) -> Any:
        found = super()._convert_chunk_to_generation_chunk(*args)
        if found is not None:
            found.message.additional_kwargs["length"] = len(found.text)
        return found


class Mixed(ChatVllm, Loud):
    pass


@pytest.mark.parametrize("kind", [Counting, Mixed])
@pytest.mark.parametrize("call", ["stream", "astream"])
def test_a_subclass_sees_each_chunk(call: str, kind: type[ChatVllm], server: Scripted) -> None:
    chunks = list(STREAMS[call](kind(**server.settings)))
    assert [each.additional_kwargs["length"] for each in chunks if each.content] == [
        len(word) for word in WORDS
    ]


@pytest.mark.parametrize(
    "more", [{"output_version": "v1"}, {"include_response_headers": True}], ids=str
)
def test_options_of_langchain_reach_the_copies(more: dict[str, Any], server: Scripted) -> None:
    if "output_version" in more and "Literal" in str(
        ChatVllm.model_fields["output_version"].annotation
    ):
        pytest.skip("this LangChain knows of no output_version v1")
    found = [
        list(ChatVllm(**server.settings, **more, raw_chunks=raw).stream("Hi"))
        for raw in (True, False)
    ]
    one, two = ([{**each.model_dump(), "id": None} for each in chunks] for chunks in found)
    for chunks in (one, two):
        chunks[0]["response_metadata"].pop("headers", None)  # the date in them
    assert one == two
