"""No schema, pattern or grammar keeps the event loop busy."""

import json
from random import Random
from typing import Any

import pytest

from fake_vllm.model.json_schema import SchemaError, sample
from fake_vllm.model.patterns import LONGEST
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.structured import by_grammar, by_pattern

TOO_MUCH = "fake-vllm makes at most 200,000 characters"


def nested(schema: Any, *, levels: int) -> Any:
    """Arrays of a thousand arrays."""
    for _ in range(levels):
        schema = {"type": "array", "items": schema, "minItems": 1000}
    return schema


def doubled(key: str) -> Any:
    """A schema whose references double at each of thirty levels."""
    parts = {f"a{n}": {key: [{"$ref": f"#/$defs/a{n - 1}"}] * 2} for n in range(1, 30)}
    return {"$ref": "#/$defs/a29", "$defs": {"a0": {"type": "null"}, **parts}}


SCHEMAS: dict[str, Any] = {
    "a long text": {"type": "string", "minLength": 10**9},
    "arrays of arrays": nested({"type": "string"}, levels=4),
    "an array of nothing": {"type": "array", "items": {"const": None}, "minItems": 10**9},
    "many properties": {"type": "object", "minProperties": 10**9},
    "a pattern that repeats": {"type": "string", "pattern": "^(((a{1000}){1000}){1000})$"},
    "a pattern that makes nothing": nested({"type": "string", "pattern": "^(){9999}$"}, levels=1),
    "parts of parts": doubled("allOf"),
    "alternatives of alternatives": doubled("anyOf"),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_that_asks_for_too_much_is_one_clear_sentence(schema: Any) -> None:
    with pytest.raises(SchemaError, match=TOO_MUCH):
        sample(schema, PromptValues(""), Random(0))


@pytest.mark.parametrize(
    "pattern",
    [
        "(((a{1000}){1000}){1000})",
        "(?:){4000000000}",
        "(a{99})" + "".join(rf"(\{n}\{n})" for n in range(1, 40)),
        "[" + "".join(rf"\U{n:08x}-\U{n + 255:08x}" for n in range(256, 256 * 800, 256)) + "]",
    ],
    ids=["repetitions", "repetitions of nothing", "references", "a class"],
)
def test_a_pattern_that_asks_for_too_much_is_one_clear_sentence(pattern: str) -> None:
    with pytest.raises(SchemaError, match=TOO_MUCH):
        by_pattern(pattern, Random(0))


def test_a_pattern_that_is_too_long_or_too_deep_is_one_clear_sentence() -> None:
    with pytest.raises(SchemaError, match="at most 20,000 characters"):
        by_pattern("a" * (LONGEST + 1), Random(0))
    with pytest.raises(SchemaError, match="nested too deeply"):
        by_pattern("(" * 3000 + ")" * 3000, Random(0))


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        ("root ::= root root root root", TOO_MUCH),
        ("root ::= /a{90000}/ /a{90000}/ /a{90000}/", TOO_MUCH),
        ("root ::= /(/", "is not a regular expression"),
    ],
)
def test_a_grammar_that_asks_for_too_much_is_one_clear_sentence(grammar: str, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        by_grammar(grammar, Random(0))


def test_large_forms_are_still_made() -> None:
    made = sample(nested({"type": "integer"}, levels=1), PromptValues(""), Random(0))
    assert len(json.loads(made.head + made.tail)) == 1000
    made = sample({"type": "string", "minLength": 50_000}, PromptValues(""), Random(0))
    assert len(json.loads(made.head + made.tail)) >= 50_000
    assert len(by_pattern("[a-z]{20000}", Random(0)).head) == 20_000


def test_the_words_of_a_long_prompt_are_not_tried_for_ever() -> None:
    prompt = PromptValues(" ".join(f"'word {n}'" for n in range(30_000)))
    schema = {"type": "string", "minLength": 40}
    sample({"type": "array", "items": schema, "minItems": 1000}, prompt, Random(0))
    assert len(prompt.all_quoted()) == 200
