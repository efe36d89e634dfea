"""The result of a soak: percentiles, late calls with their reasons, violations."""

from array import array
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from stream_lab.soak.judge import Lateness
from stream_lab.soak.outcome import CANCELLED, DEADLINE, LEFT
from stream_lab.soak.shrink import Replay, compact
from stream_lab.soak.stage import Played, Violation

NOTICED = 0.05
"""Seconds of lateness from which on a call is listed with its reason."""
SHARES = (50, 95, 99, 100)
GROUPS = (
    "deadline, event loop",
    "deadline, own event loop",
    "deadline, thread",
    "deadline, served",
    "cancelled or left",
    "server free after its client's end",
)
FEW_ROUNDS = 12
"""Rounds below which memory says nothing."""
GROWS = 24 * 2**20
"""Bytes that the memory may grow from the second quarter of a soak to its last."""
GROWS_TRACED = 4 * 2**20
"""The same for what Python's objects take; the allocator's holes do not count there."""
MIB = 2**20


@dataclass(frozen=True)
class LateCall:
    """A call that was late, and for how long something else stood still meanwhile."""

    number: int
    plan: str
    late: float
    stood_still: float


@dataclass
class Result:
    """What a soak has shown.

    Attributes:
        seed: of the soak.
        calls: how many were played.
        took: seconds, without the start of the servers.
        ends: how many calls ended in which way.
        styles: how many calls were made in which way.
        late: seconds of lateness by group; see `GROUPS`.
        alone: the same without the time in which the caller's loop or process stood still. Of the
            last group, whose servers are processes of their own, there is none.
        late_calls: how many calls were late by more than 50 ms.
        unexplained: those of them beside which nothing stood still.
        violations: what must not happen and did.
        replays: how some of them can be seen again.
        memory: the resident memory after each round, of this process and the application.
        traced: what Python's objects take after each round, in bytes. Empty: not asked for.
        grown_at: the lines whose objects grew most, from the middle to the end.
        stood_still: the longest standstill of the event loop, and of the process, in seconds.
        interrupted: whether Ctrl-C has cut it short.
    """

    seed: str
    calls: int = 0
    took: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    late: "dict[str, array[float]]" = field(
        default_factory=lambda: {name: array("d") for name in GROUPS}
    )
    alone: "dict[str, array[float]]" = field(
        default_factory=lambda: {name: array("d") for name in GROUPS}
    )
    late_calls: int = 0
    unexplained: list[LateCall] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    replays: list[Replay] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)
    traced: list[int] = field(default_factory=list)
    grown_at: str = ""
    stood_still: tuple[float, float] = (0.0, 0.0)
    interrupted: bool = False

    def add(self, played: Played, calls: int) -> None:
        """Add a round."""
        self.calls += calls
        self.ends += played.ends
        self.violations += played.violations
        self.memory.append((played.memory, played.served_memory))
        loop, process = self.stood_still
        self.stood_still = (
            max(loop, played.loop_stood_still), max(process, played.process_stood_still)
        )  # fmt: skip
        for plan, outcome, how in played.lateness:
            self.styles[plan.style.name] += 1
            if outcome.end == DEADLINE:
                name = "served" if plan.style.served else plan.style.where
                where = {"loop": "event loop", "own loop": "own event loop"}.get(name, name)
                self._note(f"deadline, {where}", how)
            elif outcome.end in (CANCELLED, LEFT):
                self._note("cancelled or left", how)
            if how.held is not None:
                self.late[GROUPS[-1]].append(how.held)
            if how.late > NOTICED:
                self.late_calls += 1
            if how.late - how.stood_still > NOTICED:
                call = LateCall(plan.number, str(plan), how.late, how.stood_still)
                insort(self.unexplained, call, key=lambda each: each.stood_still - each.late)

    def _note(self, group: str, how: Lateness) -> None:
        self.late[group].append(how.late)
        self.alone[group].append(how.alone)

    @property
    def memory_is_judged(self) -> bool:
        """Whether enough rounds were played to say whether the memory grows."""
        return len(self.memory) >= FEW_ROUNDS

    def judge_memory(self) -> None:
        """Add a violation if the memory has grown from the second quarter to the last."""
        more = growth(self.traced)
        if more is not None and more > GROWS_TRACED:
            what = f"Python's objects grew by {more / MIB:.1f} MiB; the most at {self.grown_at}"
            self.violations.append(Violation(what, None, None, ()))
        for position, whose in enumerate(("this process", "the served application")):
            sizes = [each[position] for each in self.memory]
            more = growth(sizes)
            if more is not None and more > GROWS:
                what = f"the memory of {whose} grew by {more / MIB:.0f} MiB"
                self.violations.append(Violation(what, None, None, ()))

    def percentiles(self, *, alone: bool = False) -> dict[str, list[float]]:
        """Return p50, p95, p99 and the most of each group that has calls, in seconds.

        Args:
            alone: without the time in which the caller's loop or process stood still.
        """
        return {
            name: [percentile(values, share) for share in SHARES]
            for name, values in (self.alone if alone else self.late).items()
            if values
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON can hold it."""
        return {
            "seed": self.seed,
            "calls": self.calls,
            "seconds": round(self.took, 1),
            "interrupted": self.interrupted,
            "ends": dict(self.ends),
            "styles": dict(sorted(self.styles.items())),
            "late": {
                name: dict(zip(("p50", "p95", "p99", "most"), map(_short, values), strict=True))
                | {"calls": len(self.late[name])}
                for name, values in self.percentiles().items()
            },
            "late_beside_nothing": {
                name: dict(zip(("p50", "p95", "p99", "most"), map(_short, values), strict=True))
                for name, values in self.percentiles(alone=True).items()
            },
            "late_calls": self.late_calls,
            "late_calls_unexplained": [
                {"number": each.number, "plan": each.plan, "late": _short(each.late),
                 "stood_still": _short(each.stood_still)}
                for each in self.unexplained[:50]
            ],
            "stood_still": {
                "event loop": _short(self.stood_still[0]), "process": _short(self.stood_still[1])
            },
            "memory_mib": [[a // MIB, b // MIB] for a, b in self.memory],
            "memory_is_judged": self.memory_is_judged,
            "traced_mib": [round(each / MIB, 2) for each in self.traced],
            "violations": [_violation(each) for each in self.violations],
            "replays": [
                {"what": each.violation.what, "numbers": compact(each.numbers),
                 "seen": each.tries[0], "tries": each.tries[1],
                 "words": each.sentence(self.seed)}
                for each in self.replays
            ],
        }  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def growth(sizes: Sequence[int]) -> float | None:
    """Return how much more the last quarter is than the second. None: too few."""
    if len(sizes) < FEW_ROUNDS:
        return None
    quarter = len(sizes) // 4
    return median(sizes[-quarter:]) - median(sizes[quarter : 2 * quarter])


def _short(seconds: float) -> float:
    return round(seconds, 4)


def _violation(violation: Violation) -> dict[str, Any]:
    return {
        "what": violation.what,
        "plan": None if violation.plan is None else violation.plan.as_dict(),
        "outcome": None if violation.outcome is None else violation.outcome.as_dict(),
        "round": compact(violation.round),
    }
