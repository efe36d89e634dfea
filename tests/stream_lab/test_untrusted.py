"""JSON of another program is read, or refused before it takes memory and time."""

import json
from typing import Any

import pytest

from stream_lab.untrusted import DEEPEST, MOST_VALUES, one_line, read_json


def nested(levels: int, inside: str = "") -> str:
    return "[" * levels + inside + "]" * levels


READ = {
    "as deep as it may be": nested(DEEPEST),
    "as wide as it may be": f"[{'0,' * (MOST_VALUES - 2)}0]",
    "wide at the deepest level": nested(DEEPEST - 1, "[],[],[]"),
    "brackets in a string": json.dumps(["[" * 1000, {"[": "{" * 1000}]),
    "brackets after an escape": json.dumps(['\\"[' * 200, "\\", "[" * 200, '"' + "[" * 200]),
    "commas in a string": json.dumps("," * (MOST_VALUES + 1)),
}
REFUSED = {
    "one level too deep": (nested(DEEPEST + 1), "nested too deeply"),
    "far too deep": ("[" * 500_000, "nested too deeply"),
    "too deep after a string": (json.dumps(["\\", '\\"'])[:-1] + f",{nested(99)}]", "nested"),
    "too many lists": (f"[{'[],' * MOST_VALUES}0]", "more than 1,000,000 values"),
    "too many numbers": (f"[{'0,' * MOST_VALUES}0]", "more than 1,000,000 values"),
    "no JSON": ("[", "Expecting"),
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32-le")


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
def test_json_within_the_bounds_is_read(name: str, encoding: str | None) -> None:
    text = READ[name]
    found: Any = read_json(text if encoding is None else text.encode(encoding))
    assert found == json.loads(text)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
def test_json_beyond_the_bounds_is_refused(name: str, encoding: str | None) -> None:
    text, why = REFUSED[name]
    with pytest.raises(ValueError, match=why):
        read_json(text if encoding is None else text.encode(encoding))


def test_too_many_values_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loads(_: str) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(json, "loads", loads)
    for name in ("too many lists", "too many numbers", "far too deep"):
        with pytest.raises(ValueError, match="it "):
            read_json(REFUSED[name][0])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n b", "a b"),
        ("a" * 20, "a" * 9 + "…"),
        (" " * 36 + "sk-x" * 9, "sk-x…"),
        ("a" + " " * 90 + "b", "a…"),
    ],
)
def test_an_ellipsis_shows_that_there_was_more(text: str, shown: str) -> None:
    assert one_line(text, 10) == shown
