"""A copied chunk equals LangChain's, and shares nothing with its original."""

import pickle
from collections.abc import Iterator
from copy import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import PrivateAttr

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


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": ({"delta": {"content": "a"}},)},
        {"choices": {0: {"delta": {"content": "a"}}}},
        {"choices": [None]},
        {"choices": [[]]},
        {"choices": [{}]},
        {"choices": [{"delta": ["content"]}]},
        {"choices": [{"delta": {}}]},
        {"choices": [{"delta": {"content": None}}]},
        {"choices": [{"delta": {"content": 3}}]},
        {"choices": [{"delta": {"content": "a", "refusal": None}}]},
    ],
    ids=str,
)
def test_a_chunk_of_an_odd_server_is_not_plain_text(chunk: Any) -> None:
    assert text_of({"choices": [{"delta": {"content": "a"}}]}) == "a"
    assert text_of(chunk) is None


class OtherChunk(ChatGenerationChunk):
    pass


class OtherMessage(AIMessageChunk):
    pass


class Private(AIMessageChunk):
    _private: int = PrivateAttr(default=1)


@pytest.mark.parametrize(
    ("chunk", "fits"),
    [
        (ChatGenerationChunk(message=AIMessageChunk(content="a")), True),
        (ChatGenerationChunk(message=AIMessageChunk(content="a", id="1")), True),
        (
            ChatGenerationChunk(
                message=AIMessageChunk(content="a", response_metadata={"model_provider": "x"})
            ),
            True,
        ),
        (OtherChunk(message=AIMessageChunk(content="a")), False),
        (ChatGenerationChunk(message=OtherMessage(content="a")), False),
        (ChatGenerationChunk(message=Private(content="a")), False),
        (ChatGenerationChunk(message=AIMessageChunk(content="b")), False),
        (ChatGenerationChunk(message=AIMessageChunk(content=["a"])), False),
        (
            ChatGenerationChunk(
                message=AIMessageChunk(content="a"), generation_info={"finish_reason": "stop"}
            ),
            False,
        ),
    ],
    ids=range(9),
)
def test_only_a_plain_chunk_of_langchain_is_a_pattern(
    chunk: ChatGenerationChunk, fits: bool
) -> None:
    assert bool(Pattern(chunk, "a")) is fits


@pytest.mark.parametrize("of_what", ["the chunk", "its message"])
def test_a_chunk_with_private_attributes_is_no_pattern(of_what: str) -> None:
    chunk = ChatGenerationChunk(message=AIMessageChunk(content="a"))
    owner = chunk if of_what == "the chunk" else chunk.message
    object.__setattr__(owner, "__pydantic_private__", {"_private": 1})
    assert not Pattern(chunk, "a")


@pytest.mark.parametrize("extra", [None, {"logprobs": 3}])
def test_each_copy_has_its_own_extras_and_its_own_set_of_given_fields(
    extra: dict[str, Any] | None,
) -> None:
    chunk = ChatGenerationChunk(message=AIMessageChunk(content="a", response_metadata={"x": 1}))
    object.__setattr__(chunk.message, "__pydantic_extra__", copy(extra))
    pattern = Pattern(chunk, "a")
    one, two = pattern.copy("one"), pattern.copy("two")
    assert (one.text, one.message.content) == ("one", "one")
    assert (two.text, two.message.content) == ("two", "two")
    assert one.message.response_metadata == {"x": 1}
    assert one.message.__pydantic_extra__ == extra
    assert one.message.__pydantic_private__ is None
    if one.message.__pydantic_extra__ is not None:
        one.message.__pydantic_extra__["more"] = 1
    one.message.response_metadata["more"] = 1
    one.__pydantic_fields_set__.add("more")
    one.message.__pydantic_fields_set__.add("more")
    for other in (two, pattern.copy("three")):
        assert other.message.__pydantic_extra__ == extra
        assert other.message.response_metadata == {"x": 1}
        assert "more" not in other.__pydantic_fields_set__
        assert "more" not in other.message.__pydantic_fields_set__
