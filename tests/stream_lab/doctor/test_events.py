"""The meaning of bytes: Server-Sent Events by the standard, chunks as OpenAI sends them."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lab.doctor.dialects import Says
from stream_lab.doctor.events import events_of


def chunk(**delta: Any) -> str:
    return (
        f"data: {json.dumps({'id': 'a', 'choices': [{'delta': delta, 'finish_reason': None}]})}\n\n"
    )


FINISHED = 'data: {"id":"a","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


ANTHROPIC = 'data: {{"type":"content_block_delta","delta":{{"type":"{}","{}":"x"}}}}\n\n'
INCOMPLETE = 'data: {{"type":"response.incomplete","response":{{"incomplete_details":{{"reason":"{}"}}}}}}\n\n'


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
        ('event: ping\ndata: {"type": "ping"}\n\n', False, "nothing"),
        ("event: keepalive\ndata: 2026-11-27T10:00:00Z\n\n", False, "nothing"),
        ('data: {"type":"heartbeat"}\n\n', False, "nothing"),
        ('data: {"type":"message_start","message":{"id":"m"}}\n\n', False, "nothing"),
        ('data: {"type":"content_block_start","index":0}\n\n', False, "nothing"),
        (ANTHROPIC.format("input_json_delta", "partial_json"), False, "token"),
        (ANTHROPIC.format("thinking_delta", "thinking"), False, "token"),
        (
            'data: {"type":"message_delta","delta":{"stop_reason":"tool_use"}}\n\n',
            False,
            "finished",
        ),
        ('event: message_stop\ndata: {"type":"message_stop"}\n\n', False, "done"),
        ('data: {"type":"error","error":{"type":"api_error","message":"no"}}\n\n', False, "error"),
        ('data: {"type":"error","code":"server_error","message":"no"}\n\n', False, "error"),
        ('data: {"type":"response.in_progress"}\n\n', False, "nothing"),
        ('data: {"type":"response.output_item.added"}\n\n', False, "nothing"),
        ('data: {"type":"response.function_call_arguments.delta","delta":"{"}\n\n', False, "token"),
        ('data: {"type":"response.reasoning_summary_text.delta","delta":"H"}\n\n', False, "token"),
        ('data: {"type":"response.output_text.done","text":"Hi"}\n\n', False, "nothing"),
        ('data: {"type":"response.completed","response":{"error":null}}\n\n', False, "done"),
        (INCOMPLETE.format("content_filter"), False, "done"),
        (INCOMPLETE.format("server_shutdown"), False, "error"),
        ('data: {"type":"response.cancelled"}\n\n', False, "error"),
        ('data: {"type":"response.chunk","text":"Hi"}\n\n', False, "token"),  # of no dialect
        ('data: {"type":"content-delta","delta":{}}\n\n', False, "token"),
        ('data: {"type":"message-end","delta":{"finish_reason":"COMPLETE"}}\n\n', False, "done"),
        ('data: {"type":"TEXT_MESSAGE_CONTENT","delta":"Hi"}\n\n', False, "token"),
        ('data: {"type":"RUN_ERROR","message":"no"}\n\n', False, "error"),
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


def test_an_event_of_millions_of_values_breaks_the_protocol_and_is_quoted_in_short() -> None:
    [event, _] = events_of([(0.0, f"data: [{'[],' * 600_000}0]\n\n: a\n\n".encode())], chat=True)
    assert event.says is Says.FAULT
    assert len(event.text) < 200
