"""Values near valid ones: documents with a part replaced, texts and bytes with pieces moved."""

import copy
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

DEEP = 1_200
"""Levels of nesting, which no reader of ours needs and Python's stack does not have."""
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, 0.0, -0.0, 1e308, float("inf"), float("nan"),
    "", " ", "a", "\x00", "\ud800", "\u202e\x1b[2J", "²", "١", "5\n", "[/x]", "%s{0}", "../../x", "NaN",
    "9" * 5000, "x" * 3000, [], {}, [[]], [None], [{}], {"": ""}, {"a": {"b": []}}, {"error": 5},
]  # fmt: skip
"""Values that code which reads others' data forgets."""
WORDS = st.sampled_from([each for each in ODD if isinstance(each, str)])
ANYTHING: st.SearchStrategy[Any] = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Anything that JSON or YAML can hold."""


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each part of a document."""
    yield path
    if isinstance(document, dict | list):
        parts = document.items() if isinstance(document, dict) else enumerate(document)
        for key, part in parts:
            yield from places(part, (*path, key))


@st.composite
def changed(draw: st.DrawFn, documents: list[Any], most: int = 3) -> Any:
    """A valid document of which up to N parts were replaced, removed, doubled or renamed."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from(list(places(document))))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return copy.deepcopy(draw(ANYTHING))
            continue
        whole = document
        for key in path[:-1]:
            whole = whole[key]
        last = path[-1]
        match draw(st.integers(0, 5)):
            case 0:
                del whole[last]
            case 1 if isinstance(whole, list):
                whole.insert(last, copy.deepcopy(whole[last]))
            case 2 if isinstance(whole, dict):
                whole[draw(st.text(max_size=6) | WORDS)] = whole.pop(last)
            case _:
                whole[last] = copy.deepcopy(draw(ANYTHING))
    return document


@st.composite
def edited(draw: st.DrawFn, whole: bytes, extra: list[bytes], most: int = 4) -> bytes:
    """Bytes with up to N cuts, copies, insertions and replacements."""
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(whole)))
        to = min(len(whole), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 4)):
            case 0:
                whole = whole[:at] + whole[to:]
            case 1:
                whole = whole[:to] + whole[at:]
            case 2:
                whole = whole[:at] + draw(st.binary(max_size=6)) + whole[at:]
            case 3:
                whole = whole[:at]
            case _:
                whole = whole[:at] + draw(st.sampled_from(extra)) + whole[to:]
    return whole


def files(
    documents: list[Any], dump: Callable[[Any], str], extra: list[bytes] | None = None
) -> st.SearchStrategy[bytes]:
    """The bytes of a changed document, edited bytes of a valid one, or anything."""
    pieces = [*(extra or []), b"\xff\xfe", b"\x00", b"\xef\xbb\xbf", b"[" * DEEP, b'{"a":' * DEEP]
    return (
        changed(documents).map(dump).map(_as_bytes)
        | st.sampled_from(documents)
        .map(dump)
        .map(_as_bytes)
        .flatmap(lambda whole: edited(whole, pieces))
        | st.binary(max_size=60)
        | st.sampled_from(pieces)
    )


def as_json(document: Any) -> str:
    """JSON, with what JSON does not allow but Python writes and reads."""
    return json.dumps(document)


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    """Bytes in pieces that end at some places, which are taken modulo the length."""
    ends = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    return [whole[start:end] for start, end in pairwise(ends)] or [whole]
