"""A call is judged by its plan, its caller, the ledger and the reports."""

from dataclasses import replace
from typing import Any

import pytest

from fake_vllm.testing import Request
from stream_lab.soak.faults import FAULTS
from stream_lab.soak.judge import faults, lateness
from stream_lab.soak.outcome import Outcome
from stream_lab.soak.plan import Plan, draw
from stream_lab.soak.styles import BY_NAME, Ending

ENDLESS = next(fault for fault in FAULTS if fault.name == "endless")
ANSWERS = next(fault for fault in FAULTS if fault.name == "none")
PLAN = replace(
    draw("judge", 1), style=BY_NAME["astream"], fault=ENDLESS, limit=1.0, way="constructor",
    ending="read", crowded=False, pooled=True,
)  # fmt: skip
"""A stream that only its deadline of one second ends."""


def outcome(**changes: Any) -> Outcome:
    """What the caller of `PLAN` saw, if all is well; times are around 100."""
    usual: dict[str, Any] = {
        "began": 100.0, "due": 101.0, "latest": 101.0, "ended": 101.004, "end": "deadline",
        "bound": "timeout", "chunks": 9, "last_chunk": 100.99,
    }  # fmt: skip
    return Outcome(1, **{**usual, **changes})


def entry(**changes: Any) -> Request:
    """The same call in the server's ledger."""
    usual: dict[str, Any] = {
        "id": "chatcmpl-soak-1", "path": "/v1/chat/completions", "scenario": "endless",
        "stream": True, "number": 1, "attempt": 1, "prompt_tokens": 3, "arrived": 100.01,
        "started": 100.01, "slot_freed": 101.003, "over": 101.003, "end": "client left",
        "bytes": 99,
    }  # fmt: skip
    return Request(**{**usual, **changes})


def judged(
    plan: Plan = PLAN,
    entries: list[Request] | None = None,
    reports: int = 1,
    stood_still: float = 0.0,
    **changes: Any,
) -> str:
    asked = [entry()] if entries is None else entries
    found = faults(
        plan, outcome(**changes), asked, reports, lambda a, b: stood_still, lambda a, b: 0.0
    )
    return "; ".join(found)


def test_a_call_that_is_as_it_should_be_has_no_fault() -> None:
    assert judged() == ""
    assert judged(replace(PLAN, fault=ANSWERS), end="answer", ended=100.5, bound=None, reports=0,
                  entries=[entry(end="finished", over=100.5, slot_freed=100.5)]) == ""  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"end": "did not end", "ended": 0.0}, "it did not end"),
        ({"end": "answer"}, "it ended with 'answer'"),
        ({"end": "builtins.RuntimeError"}, "it ended with 'builtins.RuntimeError'"),
        ({"end": "cancelled"}, "it ended with 'cancelled'"),
        ({"bound": "deadline"}, "its error names deadline, and not timeout"),
        ({"ended": 100.9}, "0.100 s early"),
        ({"ended": 101.4}, "it was late: 0.40 s"),
        ({"last_chunk": 101.1, "ended": 101.12}, "a chunk came 0.100 s after the deadline"),
        ({"reports": 0}, "not reported"),
        ({"reports": 3}, "reported 3 times"),
        ({"entries": [entry(over=None, slot_freed=None)]}, "the server still works on it"),
        ({"entries": [entry(over=101.5, slot_freed=101.5)]}, "held for 0.50 s more"),
        ({"entries": [entry(), entry(number=2)]}, "2 generations were started"),
    ],
)
def test_a_fault_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in judged(**changes)


@pytest.mark.parametrize(
    ("reports", "entries", "words"),
    [(0, [entry()], "its deadline was not reported"), (0, [], ""), (2, [entry()], "")],
    ids=["no report", "no call", "reports"],
)
def test_the_application_has_to_report_the_deadline_of_a_call(
    reports: int, entries: list[Request], words: str
) -> None:
    served = next(style for style in BY_NAME.values() if style.served)
    plan = replace(PLAN, style=served, way="header")
    assert judged(plan, entries, reports=reports, bound=None) == words


def test_a_standstill_at_another_time_is_told_apart() -> None:
    """A standstill a moment earlier explains a late call, but not in the column *alone*."""
    how = lateness(
        PLAN, outcome(ended=101.4), [entry()], lambda a, b: 0.3, lambda a, b: min(0.1, b - a)
    )
    assert (how.late, how.stood_still, how.alone) == pytest.approx((0.4, 0.3, 0.3))


@pytest.mark.parametrize(("after", "fault"), [(0.45, False), (0.55, True)])
def test_a_piece_that_came_in_time_may_be_chunks_a_moment_later(after: float, fault: bool) -> None:
    plan = replace(PLAN, style=BY_NAME["bounded_client, SDK, sync"], way="argument")
    words = judged(plan, last_chunk=101 + after, ended=101 + after, stood_still=0.0)
    assert ("a chunk came" in words) is fault


def test_a_report_of_a_call_that_ended_before_its_deadline_is_a_fault() -> None:
    words = judged(replace(PLAN, fault=ANSWERS), end="answer", ended=100.5, bound=None)
    assert "its deadline was reported, and it ended before" in words


@pytest.mark.parametrize(
    ("style", "ending", "stood_still", "fault"),
    [
        ("chain.astream", "close", 0.1, False),
        ("chain.astream", "close", 0.01, True),
        ("astream", "close", 0.1, True),
        ("astream", "drop", 0.1, False),
        ("astream", "drop", 0.01, True),
    ],
)
def test_a_chain_or_a_dropped_stream_may_close_late_while_its_loop_stands_still(
    style: str, ending: Ending, stood_still: float, fault: bool
) -> None:
    plan = replace(PLAN, style=BY_NAME[style], ending=ending)
    words = judged(plan, end="left", ended=100.6, acted=100.6, bound=None, stood_still=stood_still)
    assert ("its deadline was reported" in words) is fault


def test_an_answer_that_was_due_long_before_the_deadline_is_missed() -> None:
    far = replace(PLAN, fault=ANSWERS, limit=60.0)
    words = judged(far, due=160.0, latest=160.0, ended=160.001, entries=[entry(over=160.0)])
    assert "though the server ended the answer long before" in words


def test_lateness_while_the_loop_stood_still_is_no_fault() -> None:
    assert judged(ended=101.4, stood_still=0.39) == ""


def test_a_used_connection_that_ends_without_a_byte_is_tried_once_more() -> None:
    stale = entry(turn=2, bytes=0, end="closed")
    assert judged(entries=[stale, entry(number=2)]) == ""
