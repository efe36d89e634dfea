"""What came of one cell of the matrix, as data."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stream_lab.experiment.evidence import Claim

ENDED = "runs to its end"
"""What is said of a cell as a whole, beside its claims."""


class Status(StrEnum):
    """What a cell came to.

    PASS: it ran to its end, and every claim came out as told. FAIL: a claim did not, or the notebook raised an error.
    TIMEOUT: a cell, or the whole notebook, was stopped by its limit. INFRA: it could not be told: no server, no world, no kernel, other
    versions than asked for, or a claim that was not shown. SKIPPED: a program it needs is not installed.
    """

    PASS = "pass"
    FAIL = "fail"
    TIMEOUT = "timeout"
    INFRA = "infra"
    SKIPPED = "skipped"

    @property
    def mark(self) -> str:
        return {"pass": "✔", "fail": "✘", "timeout": "!", "infra": "?", "skipped": "–"}[self]


@dataclass(frozen=True)
class Attempt:
    """An earlier attempt at a cell, which was not good enough."""

    status: Status
    reason: str
    seconds: float


@dataclass(frozen=True)
class Row:
    """One cell of the matrix.

    Attributes:
        cell: its name, endpoint/world/notebook and, if any were chosen, parameters.
        reason: why it is not a pass; empty if it is.
        by_claims: whether nothing but its claims decides the status: it ran to its end, in the world asked for.
        claims: what the notebook found, each with what the story expects.
        numbers: what it measured; never part of a verdict.
        seconds: how long the last attempt took.
        imported: versions that the notebook imported, and of its Python.
        earlier: attempts before this one; a pass that has some is flaky.
        started: when, UTC. host, load: where, and the processes that wanted a core just before (1-minute mean). jobs: how many notebooks
            ran at a time: concurrency bends timings.
        digest: names everything that it was made from, so that a resumed run knows what still stands.
    """

    cell: str
    endpoint: str
    world: str
    notebook: str
    title: str
    parameters: dict[str, Any]
    status: Status
    reason: str = ""
    by_claims: bool = False
    claims: list[Claim] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    imported: dict[str, str] = field(default_factory=dict)
    earlier: list[Attempt] = field(default_factory=list)
    started: str = ""
    host: str = ""
    load: float = 0.0
    jobs: int = 1
    digest: str = ""

    @property
    def chosen(self) -> str:
        """The parameters that tell it from its neighbours; empty: there are none."""
        return ", ".join(self.cell.split("/")[3:]).replace(",", ", ")

    @property
    def flaky(self) -> bool:
        """Whether it passed only when it was run once more."""
        return self.status is Status.PASS and bool(self.earlier)
