"""Bodies of event streams: mostly valid, with every kind of damage; and what they say."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutations import as_json, changed, edited

CHUNK: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "ab"}, "finish_reason": None}],
}


def chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**CHUNK, "choices": [choice], **more}


CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{"}}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hello"}),
    chunk({"content": " wörld \n\n data: "}),
    chunk({"content": "\u2028\x85\x1b[2J"}),
    chunk({"reasoning_content": "hm"}),
    chunk({"tool_calls": [CALL]}),
    chunk({"content": "end"}, "stop"),
    chunk({}, "stop"),
    chunk({}, "length"),
    {**CHUNK, "choices": [], "usage": USAGE},
    {"error": {"message": "boom", "code": 500}},
]
OTHERS: list[dict[str, Any]] = [
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}},
    {"type": "message_stop"},
    {"type": "response.output_text.delta", "delta": "x", "sequence_number": 1},
    {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "x"}}},
    {"type": "RUN_ERROR", "message": "x"},
    {"message": {"content": "x"}, "done": True},
]
"""Events of other dialects, which the doctor knows."""
LINES = [
    b"data: [DONE]", b"data:[DONE]", b"data: [DONE] bye", b"data: ", b"data", b"data: null", b"data: {", b"data: 5",
    b":", b": alive", b": data: {}", b"event: error", b"event: message", b"event: done", b"id: 7", b"retry: 10",
    b"foo: bar", b"foo", b"\xef\xbb\xbf", b"\xff\xfe", b"", b"", b'data: {"error": "x"}', b"data: [1]", b"data:  x",
]  # fmt: skip
ENDS = (b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r")
EXTRA = [
    b"\n\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"data: ",
    b"\xff",
    b"\xc3",
    b"\x00",
    b"[DONE]",
    b"}",
    b"\xef\xbb\xbf",
]


@dataclass(frozen=True)
class Stream:
    """A body, and the places where two servers cut it."""

    body: bytes
    one: tuple[int, ...] = ()
    other: tuple[int, ...] = ()


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """One event, or a line that is none."""
    end = draw(st.sampled_from(ENDS))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.sampled_from(LINES)) + draw(st.sampled_from([end, end * 2]))
    if kind == 1:
        document = draw(changed([*CHUNKS, *OTHERS]))
    elif kind == 2:
        document = draw(changed(CHUNKS, 1))
    elif kind == 3:
        document = draw(st.sampled_from(OTHERS))
    else:
        document = draw(st.sampled_from(CHUNKS))
    text = json.dumps(document, ensure_ascii=draw(st.booleans()))
    return b"data: " + text.encode("utf-8", "surrogatepass") + end * 2


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """A body of some events, perhaps damaged, and two ways to cut it."""
    parts = draw(st.lists(events(), max_size=6))
    if draw(st.integers(0, 3)):
        parts += [b"data: " + as_json(chunk({}, "stop")).encode() + b"\n\n", b"data: [DONE]\n\n"]
    if draw(st.integers(0, 4)) == 0:
        parts = draw(st.permutations(parts))
    body = b"".join(parts)
    if draw(st.integers(0, 3)) == 0:
        body = draw(edited(body, EXTRA))
    cuts = st.lists(st.integers(0, 2000), max_size=12).map(tuple)
    one, other = draw(cuts), draw(cuts)
    if draw(st.integers(0, 3)) == 0:
        other = tuple(range(min(len(body), 400)))  # byte by byte
    return Stream(body, one, other)


def sent_texts(body: bytes) -> list[str]:
    """What a body says in fields named content, in the order of its events.

    Lines are split as the standard of event streams says; a reader need not accept all of them.
    """
    found: list[str] = []
    data: list[str] = []
    for raw in [*re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf")), b""]:
        line = raw.decode("utf-8", "replace")
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            with suppress(ValueError, RecursionError):
                found += _contents(json.loads("\n".join(data)))
            data = []
    return found


def _contents(document: Any) -> list[str]:
    if isinstance(document, list):
        return [text for each in document for text in _contents(each)]
    if not isinstance(document, dict):
        return []
    own = document.get("content")
    return [*([own] if isinstance(own, str) else []), *_contents(list(document.values()))]
