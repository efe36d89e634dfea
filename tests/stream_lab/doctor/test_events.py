"""The meaning of bytes: Server-Sent Events by the standard, chunks as OpenAI sends them."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lab.doctor.events import Says, events_of


def chunk(**delta: Any) -> str:
    return (
        f"data: {json.dumps({'id': 'a', 'choices': [{'delta': delta, 'finish_reason': None}]})}\n\n"
    )


FINISHED = 'data: {"id":"a","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


def says(text: str, *, chat: bool = True) -> list[str]:
    return [event.says for event in events_of([(0.0, text.encode())], chat=chat)]


@pytest.mark.parametrize(
    ("text", "chat", "meaning"),
    [
        (chunk(content="Hi"), True, "token"),
        (chunk(reasoning_content="Hm"), True, "token"),
        (chunk(tool_calls=[{"index": 0}]), True, "token"),
        (chunk(role="assistant", content=""), True, "nothing"),
        ('data: {"choices":[],"usage":{"total_tokens":3}}\n\n', True, "nothing"),
        (FINISHED, True, "finished"),
        ("data: [DONE]\n\n", True, "done"),
        ("event: done\ndata: x\n\n", False, "done"),
        (": ping\n\n", True, "comment"),
        ('data: {"error":{"message":"no"}}\n\n', True, "error"),
        ('event: error\ndata: {"error":{"type":"t","message":"no"}}\n\n', False, "error"),
        ("data: {broken\n\n", True, "fault"),
        ("data: {broken\n\n", False, "fault"),
        ("data: Hi\n\n", True, "fault"),
        ("data: Hi\n\n", False, "token"),
        ('data: " Hi"\n\n', False, "token"),
        ('data: {"text":"Hi"}\n\n', False, "token"),
        ("Traceback: no\n\n", True, "fault"),
        ("id: 3\nretry: 100\n\n", False, "nothing"),
        ("data: hal", False, "half"),
        ("data: half\n", False, "half"),
        ("x-trace: 1\ndata: Hi\n\n", False, "token"),
        ("data: Hi\nx-trace: 1\n\n", False, "token"),
        ("x-trace: 1\n\n", False, "nothing"),
        ("\ufeffdata: Hi\n\n", False, "token"),
        ("\ufeffevent: done\ndata:\n\n", False, "done"),
        ("data: Hi\nthere\n\n", False, "fault"),
        ("data: Hi\n\ufeffdata: there\n\n", False, "fault"),
        ("error: no\n\n", False, "fault"),
        ("\ufeff", False, ""),
    ],
)
def test_an_event_means_one_thing(text: str, chat: bool, meaning: str) -> None:
    assert says(text, chat=chat) == ([meaning] if meaning else [])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_three_ways(end: str) -> None:
    text = (chunk(content="a") + ": ping\n\n" + chunk(content="b")).replace("\n", end)
    assert says(text) == ["token", "comment", "token"]


@given(cuts=st.lists(st.integers(0, 400), max_size=12), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_stream_means_the_same_for_every_split_of_its_bytes(cuts: list[int], end: str) -> None:
    text = f"\ufeffx-trace: 1\n{chunk(content='Grüße')}: ping\n\n{FINISHED}data: [DONE]\n\n"
    whole = text.replace("\n", end).encode()
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [(float(n), whole[a:b]) for n, (a, b) in enumerate(pairwise(places))]
    found = events_of(pieces, chat=True)
    assert [event.says for event in found] == ["token", "comment", "finished", "done"]
    assert found[0].text == "Grüße"


def test_an_incomplete_event_has_the_time_of_its_first_byte() -> None:
    found = events_of([(1.0, b"data: a\n\n"), (2.0, b"dat"), (3.0, b"a: b")], chat=False)
    assert [(event.says, event.at) for event in found] == [(Says.TOKEN, 1.0), (Says.HALF, 2.0)]


def test_control_characters_are_not_quoted() -> None:
    [event] = events_of(
        [(0.0, b'data: {"error":{"message":"\\u001b[31mred\\u0007"}}\n\n')], chat=True
    )
    assert "\x1b" not in event.text
    assert "\x07" not in event.text
