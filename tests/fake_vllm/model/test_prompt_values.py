"""The values that a prompt offers."""

import time

import pytest

from fake_vllm.model.prompt_values import PromptValues


@pytest.mark.parametrize(
    ("text", "name", "position"),
    [
        ("wir in İstanbul", "istanbul", 7),
        ("wir in ISTANBUL", "ıstanbul", 7),
        ("the ΟΔΟΣ:Α", "οδος", 4),
        ("a σ", "ς", 2),
        ("the ſet", "set", 4),
        ("the set", "ſet", 4),
        ("at 300 \u212a", "k", 7),
        ("Say No.", "no", 4),
        ("now no_ no", "no", 8),
        ("nowhere", "no", None),
        ("an x, in progress", "in progress", 6),
    ],
)
def test_a_name_is_found_as_a_whole_word_in_any_case(
    text: str, name: str, position: int | None
) -> None:
    assert PromptValues(text).position(name) == position


def test_a_copy_hands_out_values_of_its_own() -> None:
    values = PromptValues("'a' is 1")
    for _ in range(2):
        copy = values.anew()
        assert (copy.quoted(bool), copy.quoted(bool)) == ("a", None)
        assert copy.number(bool) == 1


def test_a_quote_within_a_quote_is_the_inner_one() -> None:
    assert PromptValues("“so “they” said").quoted(bool) == "they"


def test_opening_quotes_take_no_longer_than_the_prompt_is_long() -> None:
    spent = time.process_time()
    assert PromptValues("“" * 100_000).all_quoted() == []
    assert time.process_time() - spent < 20
