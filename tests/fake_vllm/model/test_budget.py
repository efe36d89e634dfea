"""No schema, pattern or grammar keeps the event loop busy."""

import json
import re
import time
from random import Random
from typing import Any

import pytest

from fake_vllm.api.tools import Calling, Function, draft
from fake_vllm.model.budget import MOST, Budget, TooMuchError
from fake_vllm.model.json_schema import SchemaError, sample
from fake_vllm.model.patterns import LONGEST
from fake_vllm.model.prompt_values import PromptValues
from fake_vllm.model.structured import by_grammar, by_pattern, by_tag, one_of, rules

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


def deep(schema: Any, *, items: int) -> Any:
    """Arrays of arrays, below which only required properties are written."""
    schema = {"type": "array", "items": schema, "minItems": items}
    for _ in range(3):
        schema = {"type": "array", "items": schema, "minItems": 1}
    return schema


LONG = "^(?=.{0,9}$|" + "(a)?" * 4900 + ")QQ"
"""A pattern with a short text, which takes long to read."""
SCHEMAS: dict[str, Any] = {
    "a long text": {"type": "string", "minLength": 10**9},
    "arrays of arrays": nested({"type": "string"}, levels=4),
    "an array of nothing": {"type": "array", "items": {"const": None}, "minItems": 10**9},
    "many properties": {"type": "object", "minProperties": 10**9},
    "a pattern that repeats": {"type": "string", "pattern": "^(((a{1000}){1000}){1000})$"},
    "a pattern that makes nothing": nested({"type": "string", "pattern": "^(){9999}$"}, levels=1),
    "parts of parts": doubled("allOf"),
    "alternatives of alternatives": doubled("anyOf"),
    "patterns that are long to read": {
        "type": "array",
        "prefixItems": [{"type": "string", "pattern": LONG + str(n)} for n in range(3)],
    },
    "a long pattern that is tried for many texts": {
        "type": "array",
        "minItems": 400,
        "items": {"type": "string", "pattern": f"{LONG}$"},
    },
    "a long enumeration for each item": {
        "type": "array",
        "minItems": 2000,
        "items": {"enum": [f"n{n}" for n in range(2000)]},
    },
    "many optional properties, deep down": deep(
        {"type": "object", "properties": {f"p{n}": {} for n in range(2000)}}, items=2000
    ),
    "many parts with required properties": {"allOf": [{"required": ["a"] * 20}] * 1000},
    "many types": {"type": "array", "minItems": 4000, "items": {"type": ["null"] * 4000}},
    "a long reference": {
        "type": "array",
        "minItems": 4000,
        "items": {"$ref": "#" + "x" * 4000 + "/$defs/a"},
        "$defs": {"a": {"const": 1}},
    },
    "classes of wide ranges": {
        "type": "string",
        "pattern": "(?i)[" + "".join(f"{chr(0x300 + n)}-\uffff" for n in range(100)) + "]",
    },
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
        "[" + "".join(f"{chr(0x300 + n)}-\uffff" for n in range(300)) + "]",
    ],
    ids=["repetitions", "repetitions of nothing", "references", "a class", "wide ranges"],
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
        ("root ::= " + "a " * 5000 + "\na ::= " + "(" * 9000, TOO_MUCH),
        ("root ::= " + "a" * LONGEST, "A grammar may have at most 20,000 characters"),
    ],
)
def test_a_grammar_that_asks_for_too_much_is_one_clear_sentence(grammar: str, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        by_grammar(grammar, Random(0))


def test_a_grammar_is_read_in_one_go() -> None:
    """A rule that is looked for at each place takes minutes."""
    spent = time.process_time()
    for _ in range(20):
        assert not rules("\n" * LONGEST)
        assert not by_grammar("root ::= " + '"\\' * 9990, Random(0)).head
        assert not by_grammar("root ::= " + "[" * 19_000, Random(0)).head
    assert time.process_time() - spent < 20


def test_the_parts_of_a_structural_tag_share_one_bound() -> None:
    part = {"type": "regex", "pattern": "(?:){150000}"}
    assert by_tag({"format": part}, PromptValues(""), Random(0))
    with pytest.raises(SchemaError, match=TOO_MUCH):
        by_tag(
            {"format": {"type": "sequence", "elements": [part] * 2}}, PromptValues(""), Random(0)
        )


def test_the_calls_of_several_tools_share_one_bound() -> None:
    text = {"type": "string", "pattern": "^(?:){150000}q$"}
    parameters = {"type": "object", "properties": {"a": text}, "required": ["a"]}
    tools = [Function("one", parameters), Function("two", parameters)]
    made = draft(tools, Calling(("one", "two"), "required"), PromptValues(""), Random(0))
    first, second = re.findall('"arguments": (.*)}', made.head + made.tail)
    assert json.loads(first) == {"a": "q"}
    assert json.loads(second) == {}


def test_names_are_looked_for_once_and_within_a_bound() -> None:
    prompt = PromptValues("a_" * 5000)
    one_of(["a"] * 100_000, prompt, Random(0))
    with pytest.raises(TooMuchError):
        one_of(["a" + "_a" * n for n in range(100)], prompt, Random(0))


def test_large_forms_are_still_made() -> None:
    made = sample(nested({"type": "integer"}, levels=1), PromptValues(""), Random(0))
    assert len(json.loads(made.head + made.tail)) == 1000
    made = sample({"type": "string", "minLength": 50_000}, PromptValues(""), Random(0))
    assert len(json.loads(made.head + made.tail)) >= 50_000
    assert len(by_pattern("[a-z]{20000}", Random(0)).head) == 20_000


@pytest.mark.parametrize(
    ("count", "pattern", "bounds"),
    [
        (50, "^[A-Za-z0-9_-]+$", {"minLength": 40, "maxLength": 64}),
        (100, "^[a-z0-9]+$", {"minLength": 32}),
        (1, "^[A-Za-z0-9+/]{3000,}={0,2}$", {"minLength": 3030}),
    ],
)
def test_texts_of_a_length_for_a_pattern_are_found_within_the_bound(
    count: int, pattern: str, bounds: dict[str, int]
) -> None:
    items = {"type": "string", "pattern": pattern, **bounds}
    schema = {"type": "array", "minItems": count, "items": items}
    for seed in range(3):
        made = sample(schema, PromptValues(""), Random(seed))
        assert len(json.loads(made.head + made.tail)) == count


def test_a_pattern_may_ask_for_a_text_of_nearly_the_whole_bound() -> None:
    assert len(by_pattern("a{150000}", Random(0)).head) == 150_000


@pytest.mark.parametrize("least", [-(10**15), float("nan"), float("inf"), 1.5, "2", None])
@pytest.mark.parametrize(
    ("kind", "key"), [("string", "minLength"), ("array", "minItems"), ("object", "minProperties")]
)
def test_a_length_that_is_no_count_is_one_clear_sentence(kind: str, key: str, least: Any) -> None:
    with pytest.raises(SchemaError, match=f"'{key}' must be a whole number"):
        sample({"type": kind, key: least}, PromptValues(""), Random(0))


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    made = sample({"type": "array", "minItems": 2.0}, PromptValues(""), Random(0))
    assert len(json.loads(made.head + made.tail)) == 2


@pytest.mark.parametrize("back", [-MOST, float("nan")])
def test_nothing_gives_work_back(back: float) -> None:
    budget = Budget()
    budget.spend(MOST)
    budget.spend(back)
    with pytest.raises(TooMuchError):
        budget.spend(1)


def test_the_words_of_a_long_prompt_are_not_tried_for_ever() -> None:
    prompt = PromptValues(" ".join(f"'word {n}'" for n in range(30_000)))
    schema = {"type": "string", "minLength": 40}
    sample({"type": "array", "items": schema, "minItems": 1000}, prompt, Random(0))
    assert len(prompt.all_quoted()) == 200
