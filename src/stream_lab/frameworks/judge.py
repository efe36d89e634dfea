"""Judge whether a call ended on time, and whether its server was free."""

from dataclasses import dataclass
from enum import StrEnum

from stream_lab.frameworks.outcome import Outcome

SUSPENDED = "suspended"
"""The scenario whose consumer does not pull, so that only the server is judged."""
SLACK = 0.15
"""Seconds that a call or a server may be late."""
EARLIEST = 0.1
"""Seconds before the deadline from which an end is not taken for something else."""


class Mark(StrEnum):
    """How a cell came out. All but the first mean that it does not hold."""

    HOLDS = "holds"
    AGAIN = "again"  # the question was put to the server more than once
    RUNNING = "running"  # the call had not ended when the watch did
    LATE = "late"
    BUSY = "busy"  # the call ended on time, and the server worked on
    EARLY = "early"  # it ended before its time, so it shows nothing
    UNPLAYED = "unplayed"


@dataclass(frozen=True)
class Verdict:
    """A mark, and the figures behind it in a few words.

    Attributes:
        silent: whether the caller's call ended without an error, as a whole answer does.
    """

    mark: Mark
    words: str
    silent: bool = False

    @property
    def holds(self) -> bool:
        return self.mark is Mark.HOLDS


def judge(outcome: Outcome, scenario: str, timeout: float, slack: float = SLACK) -> Verdict:
    """Return the verdict on a cell.

    It holds if the call ended by the deadline, the server was free by then, and one generation was
    started. Of a consumer that does not pull, only the server is judged.

    Args:
        outcome: what happened.
        scenario: the name of the behaviour.
        timeout: the seconds after which the call should have ended.
        slack: the seconds by which it may be late.
    """
    latest = timeout + slack
    ended, freed = outcome.ended, outcome.freed
    first = freed if scenario == SUSPENDED else ended
    silent = ended is not None and not outcome.chain
    if outcome.unplayed:
        return Verdict(Mark.UNPLAYED, outcome.unplayed)
    if scenario == SUSPENDED and not outcome.chunks:
        return Verdict(Mark.EARLY, "no chunk came, so no consumer was suspended", silent)
    if first is not None and first < timeout - EARLIEST:
        return Verdict(Mark.EARLY, f"{first:.2f} s, {_ending(outcome)}", silent)
    if outcome.requests != 1:
        return Verdict(Mark.AGAIN, f"{_at(ended)}, {outcome.requests} generations", silent)
    if scenario != SUSPENDED:
        if ended is None:
            return Verdict(Mark.RUNNING, "runs on")
        if ended > latest:
            return Verdict(Mark.LATE, _at(ended), silent)
    if freed is None or freed > latest:
        return Verdict(Mark.BUSY, f"server busy{'' if freed is None else f' to {_at(freed)}'}")
    return Verdict(Mark.HOLDS, _at(first), silent)


def _at(seconds: float | None) -> str:
    return "runs on" if seconds is None else f"{seconds:.2f} s"


def _ending(outcome: Outcome) -> str:
    return outcome.chain[0] if outcome.chain else "no error"
