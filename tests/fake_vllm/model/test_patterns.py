"""A text for a regular expression."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_vllm.model.patterns import PatternError, matching
from fake_vllm.model.structured import by_grammar


@given(seed=st.integers(0, 1000))
@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "abc",
        "[0-9]{3}",
        "a|b|cd",
        "(x|y)+z?",
        r"\d+-\w*\s",
        "[^a-y]",
        "(?P<q>['\"])x(?P=q)",
        "^a.b$",
        "(?:ab){2,4}?",
        "[A-Z]{2,}",
        r"\.",
    ],
)
def test_the_text_matches(pattern: str, seed: int) -> None:
    assert re.fullmatch(pattern, matching(pattern, Random(seed)))


def test_an_optional_part_appears_once() -> None:
    assert matching("a*b?c{0,0}", Random(0)) == "ab"


@pytest.mark.parametrize("pattern", ["(", "[a", "a(?=b)", "*"])
def test_a_pattern_without_a_text_is_one_clear_sentence(pattern: str) -> None:
    with pytest.raises(PatternError, match=re.escape(pattern)):
        matching(pattern, Random(0))


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        ('root ::= "yes" | "no"', "yes"),
        ('start: greeting " " NAME\ngreeting: "Hi"\nNAME: /B/', "Hi B"),
        ("nothing", ""),
        ('start: "a" // the "first\n  "b"', "ab"),
        ('root ::= "a" # it\'s "so\n  "b"', "ab"),
        ('\n\n  root\n ::= "a" "', "a"),
    ],
)
def test_a_grammar_gives_its_first_alternative(grammar: str, text: str) -> None:
    assert by_grammar(grammar, Random(0)).head == text
