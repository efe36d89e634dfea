"""Judge one call by its plan, its caller, the server's ledger, and the reports."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fake_vllm.testing import Request
from stream_lab.soak.calls import BUSY, SLOW
from stream_lab.soak.outcome import (
    ANSWER,
    CANCELLED,
    DEADLINE,
    ERROR,
    LEFT,
    UNENDED,
    Outcome,
)
from stream_lab.soak.plan import LEAVES, Plan
from stream_lab.soak.styles import CANCELS

LATE = 0.15
"""Seconds that a call may be late beyond the time in which its loop or its process stood still."""
HELD = 0.25
"""The same for the server, which is a process of its own and may stand still as well."""
CLOSE = 0.03
"""Seconds after the deadline in which a chunk counts as handed over before it."""
CLOSE_IN_CHAIN = 0.15
"""The same where tasks of LangChain stand between."""
CLOSE_OF_PIECE = 0.5
"""The same where the library hands over bytes, and the SDK makes forty chunks of a burst."""
BEGINS = 0.3
"""Seconds in which a call begins that never reached the server."""
EDGE = 0.05
"""Seconds around the deadline in which it may act or not."""
TURNS = 5
"""Turns of the loop in which generators are closed, as one after the other is finalized.

That is so in a chain, and where the caller drops a stream.
"""
PAUSES = {"busy": BUSY, "slow": SLOW}
BOUNDS = {
    "constructor": "timeout",
    "call": "timeout",
    "argument": "timeout",
    "scope": "deadline",
    "both": "deadline",
    "first chunk": "first_chunk_timeout",
}

StoodStill = Callable[[float, float], float]
"""Returns for how many seconds of a time the caller's loop or process stood still."""


@dataclass(frozen=True)
class Lateness:
    """How late a call ended.

    Attributes:
        late: seconds after the moment at which it should have ended.
        stood_still: for how many of them the caller's loop or process stood still; a standstill a
            moment before or after counts, too.
        alone: for how many of them nothing stood still at that very time.
        held: seconds after the caller's end for which the server still worked. None: the server
            was never asked.
    """

    late: float
    stood_still: float
    alone: float
    held: float | None


def settle(
    plan: Plan, outcome: Outcome, entries: Sequence[Request], stood_still: StoodStill
) -> None:
    """Set when a call's deadline is at the latest.

    Its clock starts with the caller's, and later only by as long as the loop stood still before the
    request was sent. For a served call, `latest` says already when its header was read.
    """
    if outcome.began and not plan.style.served:
        sent = min((entry.arrived for entry in entries), default=outcome.began + BEGINS)
        way = max(0.0, sent - outcome.began)
        outcome.latest = outcome.due + min(way, stood_still(outcome.began, outcome.began + way))


def lateness(
    plan: Plan,
    outcome: Outcome,
    entries: Sequence[Request],
    stood_still: StoodStill,
    at_that_time: StoodStill,
) -> Lateness:
    """Return how late a call ended, and how late its server was free.

    Args:
        plan: the call.
        outcome: what the caller saw.
        entries: its requests in the server's ledger.
        stood_still: see `StoodStill`; a standstill a moment before or after counts.
        at_that_time: the same, without those.
    """
    should = _should_end(plan, outcome)
    late = max(0.0, outcome.ended - should)
    stood = stood_still(should, outcome.ended) if late else 0.0
    alone = max(0.0, late - at_that_time(should, outcome.ended)) if late else 0.0
    by = _free_by(plan, outcome)
    gone = [each for entry in entries if (each := _gone(entry)) is not None]
    return Lateness(late, min(stood, late), alone, max(0.0, max(gone) - by) if gone else None)


def faults(
    plan: Plan,
    outcome: Outcome,
    entries: Sequence[Request],
    reports: int,
    stood_still: StoodStill,
    server_stood_still: StoodStill,
) -> Iterator[str]:
    """Yield what is wrong with a call, in words.

    Args:
        plan: the call.
        outcome: what the caller saw.
        entries: its requests in the server's ledger.
        reports: how often the library reported it as ended by a bound, here or in the application.
        stood_still: see `StoodStill`.
        server_stood_still: the same for the server.
    """
    if outcome.end == UNENDED:
        yield "it did not end"
    else:
        took = outcome.ended - outcome.began
        for each in (stood_still, server_stood_still):
            took -= each(outcome.began, outcome.ended)
        yield from _wrong_end(plan, outcome, took)
        yield from _wrong_time(plan, outcome, stood_still)
        yield from _wrong_reports(plan, outcome, entries, reports, stood_still)
    yield from _wrong_server(
        plan, outcome, entries, lambda a, b: stood_still(a, b) + server_stood_still(a, b)
    )


def allowed(plan: Plan) -> set[str]:
    """Return the ends that a call may have, the deadline included."""
    ends = {*plan.ends, DEADLINE}
    if plan.ends and plan.style.text:
        ends.add(ANSWER)
    if plan.ending in LEAVES:
        ends.add(LEFT)
    if plan.ending in CANCELS:
        ends.add(CANCELLED)
    return ends


def _wrong_end(plan: Plan, outcome: Outcome, took: float) -> Iterator[str]:
    if outcome.end not in allowed(plan):
        yield f"it ended with {outcome.end!r} ({outcome.error or 'no error'})"
        return
    if outcome.end == DEADLINE:
        if plan.surely_ends and took > plan.fault.within:
            yield "the deadline ended it, though the server ended the answer long before"
        expected = BOUNDS.get(plan.way)
        if outcome.bound is not None and expected is not None and outcome.bound != expected:
            yield f"its error names {outcome.bound}, and not {expected}"
    if outcome.end == CANCELLED and outcome.acted is None:
        yield "a cancellation reached the caller that was not the caller's"


def _wrong_time(plan: Plan, outcome: Outcome, stood_still: StoodStill) -> Iterator[str]:
    if outcome.end == DEADLINE and outcome.ended < outcome.due - 0.002:
        yield f"it was {outcome.due - outcome.ended:.3f} s early"
    should = _should_end(plan, outcome)
    late = outcome.ended - should - stood_still(should, outcome.ended)
    if late > LATE:
        yield f"it was late: {late:.2f} s, and nothing stood still meanwhile"
    close = CLOSE_IN_CHAIN if plan.style.chained or plan.style.served else CLOSE
    if plan.style.pieces:
        close = CLOSE_OF_PIECE
    after = outcome.last_chunk - outcome.latest
    if after > 0 and after - stood_still(outcome.latest, outcome.last_chunk) > close:
        yield f"a chunk came {after:.3f} s after the deadline"


def _wrong_reports(
    plan: Plan,
    outcome: Outcome,
    entries: Sequence[Request],
    reports: int,
    stood_still: StoodStill,
) -> Iterator[str]:
    # Before its application asks the model, the middleware ends a request without any call.
    if outcome.end == DEADLINE and not reports and (entries or not plan.style.served):
        yield "its deadline was not reported"
    if plan.style.served:
        return  # deadlines of a header are of whole milliseconds, so two calls may have the same
    if reports > 2 * plan.style.generations:
        yield f"its deadline was reported {reports} times"
    if outcome.end == DEADLINE or not reports or (outcome.end == LEFT and _may_linger(plan)):
        return
    by_turns = plan.style.chained or plan.ending == "drop"
    turns = TURNS * stood_still(outcome.ended, outcome.due) if by_turns else 0.0
    if outcome.ended < outcome.due - EDGE - turns:
        yield f"its deadline was reported, and it ended before with {outcome.end!r}"


def _wrong_server(
    plan: Plan, outcome: Outcome, entries: Sequence[Request], stood_still: StoodStill
) -> Iterator[str]:
    if outcome.end == ANSWER and not entries:
        yield "the server has no record of it"
    by = _free_by(plan, outcome)
    for entry in entries:
        if (gone := _gone(entry)) is None:
            yield "the server still works on it"
        elif by and gone - by - stood_still(by, gone) > HELD:
            yield f"the server was held for {gone - by:.2f} s more ({entry.end})"
    started = sum(entry.started is not None and not _was_stale(entry) for entry in entries)
    if started > plan.style.generations:
        yield f"{started} generations were started"


def _may_linger(plan: Plan) -> bool:
    """Tell whether LangChain's tasks may refer to a dropped stream until the collector runs."""
    return plan.ending == "drop" and plan.style.chained


def _was_stale(entry: Request) -> bool:
    """Tell whether a used connection ended without a byte: the library retries that."""
    return entry.turn > 1 and not entry.bytes and entry.end in ("closed", "reset")


def _should_end(plan: Plan, outcome: Outcome) -> float:
    """Return the moment at which a call should have ended."""
    due = outcome.latest + PAUSES.get(plan.ending, 0.0)
    if outcome.acted is None:
        return due
    if plan.ending == "hold":
        return max(due, outcome.acted)
    return min(due, outcome.acted) if outcome.end in (CANCELLED, LEFT) else due


def _free_by(plan: Plan, outcome: Outcome) -> float:
    """Return the moment at which the server should have been free."""
    if not outcome.ended:
        return outcome.latest
    if outcome.end == LEFT and _may_linger(plan):
        return outcome.latest
    return min(outcome.ended, outcome.latest) if outcome.end == DEADLINE else outcome.ended


def _gone(entry: Request) -> float | None:
    """Return when the server was done with a request. None: it is not."""
    if entry.over is None:
        return None
    return max(entry.over, entry.slot_freed or 0.0)


__all__ = ["ERROR", "Lateness", "allowed", "faults", "lateness"]
