"""Tool calls in the model's text, whole or streamed in any pieces."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_vllm.api.hermes import Reader, parse

ONE = '<tool_call>\n{"name": "f", "arguments": {"a": "}\\"{", "b": [1, {}]}}\n</tool_call>'
TWO = f'Well, <b> then.\n{ONE}\n<tool_call>{{"name":"g","arguments": false}}</tool_call>'


def read(pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """Text and calls, put together as a client does."""
    reader, text, calls = Reader(), "", []
    for piece in pieces:
        delta = reader.delta(piece) or {}
        text += delta.get("content") or ""
        for part in delta.get("tool_calls", ()):
            if "id" in part:
                calls.append((part["function"]["name"], ""))
            else:
                name, arguments = calls[part["index"]]
                calls[part["index"]] = name, arguments + part["function"]["arguments"]
    return text, calls


@given(cuts=st.sets(st.integers(1, len(TWO) - 1)))
def test_a_text_gives_the_same_calls_in_any_pieces(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(TWO)]
    pieces = [TWO[start:end] for start, end in pairwise(places)]
    text, calls = read(pieces)
    assert text == "Well, <b> then.\n"
    assert [(name, json.loads(arguments)) for name, arguments in calls] == [
        ("f", {"a": '}"{', "b": [1, {}]}),
        ("g", False),
    ]


def test_a_whole_text_gives_its_text_and_its_calls() -> None:
    content, calls = parse(TWO)
    assert content == "Well, <b> then.\n"
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("f", {"a": '}"{', "b": [1, {}]}),
        ("g", False),
    ]
    assert parse(ONE)[0] is None


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "",
        "<tool_call",
        "<tool_call>{",
        ONE[:-20],
        "<tool_call>5</tool_call>",
        "<tool_call>{}</tool_call>",
    ],
)
def test_a_text_without_a_whole_call_is_text(text: str) -> None:
    assert parse(text) == (text, [])


@pytest.mark.parametrize(
    ("pieces", "deltas"),
    [
        (["Hi", " there"], [{"content": "Hi"}, {"content": " there"}]),
        (["a<", "b"], [{"content": "a"}, {"content": "<b"}]),
        (["a<tool_call>", "{"], [{"content": "a"}, None]),
        ([""], [None]),
    ],
)
def test_a_possible_beginning_of_a_call_is_held_back(pieces: list[str], deltas: list[Any]) -> None:
    reader = Reader()
    assert [reader.delta(piece) for piece in pieces] == deltas


def test_white_space_in_arguments_is_sent_only_with_what_follows() -> None:
    reader = Reader()
    reader.delta('<tool_call>{"name": "f", "arguments": ')
    assert [reader.delta(piece) for piece in (" ", "{", " ", " ")][2:] == [None, None]
    told = reader.delta('"a"')
    assert told is not None
    assert told["tool_calls"][0]["function"]["arguments"] == '  "a"'
