"""Samples conform to their schema, as Pydantic validates it."""

import json
import re
from datetime import date, datetime
from enum import Enum
from random import Random
from typing import Annotated, Any, Literal, Union
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from fake_vllm.model.json_schema import SchemaError, sample, schema_fault
from fake_vllm.model.prompt_values import PromptValues


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(BaseModel):
    kind: Literal["leaf"]
    value: float


class Tree(BaseModel):
    kind: Literal["tree"]
    branches: list[Annotated[Union["Tree", Leaf], Field(discriminator="kind")]]
    parent: "Tree | None" = None


class Sum(BaseModel):
    left: "Leaf | Sum"
    right: "Sum | Leaf"


class Everything(BaseModel):
    text: str
    short: Annotated[str, Field(min_length=2, max_length=5)]
    long: Annotated[str, Field(min_length=200)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{3}$")]
    count: Annotated[int, Field(gt=-1000, lt=1000)]
    negative: Annotated[int, Field(le=-20)]
    even: Annotated[int, Field(ge=7, multiple_of=6)]
    share: Annotated[float, Field(gt=0, lt=1)]
    flag: bool
    colour: Colour
    maybe: int | None
    default: str = "as it is"
    day: date
    moment: datetime
    id: UUID
    pair: tuple[int, str]
    few: Annotated[list[int], Field(min_length=3, max_length=4)]
    table: dict[str, int]
    either: Literal["a", 1, None]
    any: Any
    tree: Tree
    sum: Sum


def value(schema: Any, text: str = "", seed: int = 0) -> Any:
    draft = sample(schema, PromptValues(text), Random(seed))
    return json.loads(draft.head + draft.tail)


@given(seed=st.integers(0, 10_000), text=st.text(max_size=40))
@pytest.mark.parametrize(
    "kind",
    [Everything, list[Tree], Sum | None, dict[str, list[Leaf]], Annotated[int, Field(ge=5, le=5)]],
)
def test_a_sample_is_valid(kind: Any, seed: int, text: str) -> None:
    adapter = TypeAdapter(kind)
    adapter.validate_json(json.dumps(value(adapter.json_schema(), text, seed)))


def test_a_default_stays_as_it_is() -> None:
    assert value(Everything.model_json_schema())["default"] == "as it is"


@given(filler=st.text(alphabet=" abc", max_size=30))
def test_more_words_in_the_free_place_leave_it_valid(filler: str) -> None:
    draft = sample(
        {"type": "object", "properties": {"a": {"type": "string"}}}, PromptValues(""), Random(0)
    )
    assert json.loads(draft.head + filler + draft.tail)["a"].endswith(filler)


@pytest.mark.parametrize(
    ("text", "schema", "expected"),
    [
        ("What is the value of magic_function(3)?", {"type": "integer"}, 3),
        ("1.5 or 2", {"type": "integer"}, 2),
        ("1.5 or 2", {"type": "number"}, 1.5),
        ("between 3-4", {"type": "array", "items": {"type": "integer"}, "minItems": 2}, [3, 4]),
        ("from -7 on", {"type": "integer"}, -7),
        ("500, or 40", {"type": "integer", "maximum": 100}, 40),
        ("version v2 of 1.2.3 is 4", {"type": "integer"}, 4),
        ("a customer named '你好啊集团' (Hello Group)", {"type": "string"}, "你好啊集团"),
        ("it's what's said: “so”", {"type": "string"}, "so"),
        ('"too long" or "ok"', {"type": "string", "maxLength": 3}, "ok"),
        ("the blue one", {"enum": ["red", "blue"]}, "blue"),
    ],
)
def test_values_from_the_prompt_are_used_if_they_fit(text: str, schema: Any, expected: Any) -> None:
    assert value(schema, text) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": {"a": None}}, {"a": None}),
        ({"allOf": [{"const": 1}, {"title": "x"}]}, 1),
        ({"type": ["null", "boolean"], "enum": [True]}, True),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 2}}}, 2),
        ({"type": "object", "required": ["x"], "additionalProperties": {"const": 3}}, {"x": 3}),
        ({"properties": {"x": {"const": 4}}}, {"x": 4}),
        ({"type": "array", "items": False}, []),
        ({"type": "integer", "exclusiveMinimum": 4, "maximum": 5}, 5),
        ({"type": "number", "maximum": 50, "multipleOf": 100, "minimum": -50}, 0),
    ],
)
def test_keywords(schema: Any, expected: Any) -> None:
    assert value(schema) == expected


@pytest.mark.parametrize(
    ("pattern", "bounds"),
    [
        (r"^[A-Z]{3}-\d{4}$", {}),
        (r"^(red|green)_[0-9a-f]+$", {"minLength": 20}),
        (r"^\+?\d+$", {"minLength": 7, "maxLength": 9}),
        (r"\d", {}),
        (r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", {"maxLength": 30}),
        (r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$", {}),
    ],
)
def test_a_text_follows_the_schemas_pattern_and_its_bounds(
    pattern: str, bounds: dict[str, int]
) -> None:
    made = value({"type": "string", "pattern": pattern, **bounds})
    assert re.search(pattern, made)
    assert bounds.get("minLength", 0) <= len(made) <= bounds.get("maxLength", 1000)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        5,
        {"type": "float"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$ref": "https://example.org/schema"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "integer", "minimum": float("inf")},
        {"type": "string", "pattern": "^q{9}$", "maxLength": 5},
        {"type": "string", "pattern": "("},
        {"enum": []},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    ],
)
def test_a_schema_without_a_sample_is_one_clear_sentence(schema: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        value(schema)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "nope"}, "Invalid type: nope"),
        ({"properties": {"a": {"items": {"type": ["string", "x"]}}}}, "Invalid type: x"),
        ({"type": [[]]}, "Invalid type: []"),
        ({"required": [[]]}, None),
        ({"$ref": "#/nowhere"}, "Pointer '/nowhere' does not exist"),
        (
            {"$ref": f"#/allOf/{'1' * 5000}", "allOf": [{}]},
            f"Pointer '/allOf/{'1' * 5000}' does not exist",
        ),
        ({"properties": 5}, "properties must be an object"),
        ({"enum": []}, "Unsatisfiable schema: anyOf is empty"),
        (
            {"properties": {"a": False}, "required": ["a"]},
            "Unsatisfiable schema: required property 'a' is unsatisfiable",
        ),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, None),
        (True, None),
        (5, None),
    ],
)
def test_an_invalid_schema_is_refused_in_the_words_of_vllm(schema: Any, says: str | None) -> None:
    assert schema_fault(schema) == says
