"""The fake tokenizer loses nothing, has its declared size, and counts fast."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_vllm.model import tokenizer
from fake_vllm.model.vocabulary import BYTES, END, IDS, LONGEST, SIZE, SPECIAL
from fake_vllm.model.words import VOCABULARY

TEXT = st.text(st.characters(codec="utf-8"))


@given(
    text=TEXT
    | st.lists(st.sampled_from([*VOCABULARY, *SPECIAL, " ", "\n", '{"', "é", "🎉"])).map("".join)
)
def test_any_text_survives_encoding_and_decoding(text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=TEXT)
def test_the_tokens_of_a_text_add_up_to_the_text(text: str) -> None:
    assert "".join(part for _, part in tokenizer.steps(tokenizer.encode(text))) == tokenizer.decode(
        tokenizer.encode(text), skip_special=True
    )


def test_the_vocabulary_has_2048_different_tokens() -> None:
    assert len(BYTES) == len(set(BYTES)) == SIZE == 2048
    for word in VOCABULARY:
        assert tokenizer.encode(f"{word} {word}") == [IDS[word], IDS[f" {word}"]]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("Hello world", ["Hello", "Ġworld"]),
        ("\n", ["Ċ"]),
        ("é", ["Ã", "©"]),
        ("<|im_start|>user", ["<|im_start|>", "user"]),
    ],
)
def test_tokens_look_as_in_byte_level_tokenizers(text: str, strings: list[str]) -> None:
    assert [tokenizer.token_string(id) for id in tokenizer.encode(text)] == strings


def test_names_of_special_tokens_stand_for_them_and_may_be_skipped() -> None:
    assert tokenizer.encode("a<|im_end|>")[-1] == END
    assert tokenizer.decode([END, *tokenizer.encode("a")], skip_special=True) == "a"
    assert tokenizer.decode([SIZE + 5]) == ""


def test_a_part_of_a_character_has_no_text_until_it_is_whole() -> None:
    assert [part for _, part in tokenizer.steps(tokenizer.encode("a🎉b"))] == [
        "a",
        "",
        "",
        "",
        "🎉",
        "b",
    ]


def test_a_token_of_any_text_is_one_token() -> None:
    assert tokenizer.one_id(" the") == IDS[" the"]
    assert 0 < tokenizer.one_id("quite another text") < SIZE
    assert tokenizer.one_id("quite another text") == tokenizer.one_id("quite another text")


@pytest.mark.parametrize(
    "text", ["Hello " * 70_000, "x" * 420_000, "é1" * 200_000], ids=["words", "one word", "bytes"]
)
def test_counting_stops_soon_after_there_are_too_many(text: str) -> None:
    start = time.perf_counter()
    assert len(tokenizer.encode(text, 32_769)) == 32_769
    assert time.perf_counter() - start < 5, "it takes 0.1 s; the bound is for slow machines"


def test_the_longest_token_has_the_declared_length() -> None:
    assert max(len(text.decode("utf-8", "replace")) for text in BYTES) == LONGEST
