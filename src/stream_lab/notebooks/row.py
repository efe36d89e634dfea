"""The result of one notebook, as data."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stream_lab.experiment.evidence import Claim, Outcome

ENDED = "runs to its end"
"""How tables and reports name the ending of a notebook, beside its claims."""


def number_of(notebook: str) -> str:
    """Return the number in a notebook's name, or its first two letters."""
    found = re.match(r"\d+[a-z]?(?=_)", notebook)
    return found[0] if found else notebook[:2]


class Status(StrEnum):
    """The result of a notebook in one word.

    PASS: the notebook ran to its end, and every claim held. FAIL: a claim did not hold, or the
    notebook raised an error. TIMEOUT: a limit stopped a cell or the whole notebook. INFRA: the run
    could not tell, for want of a server, a world or a kernel, because of other versions than the
    world has, or because a claim was not shown. SKIPPED: not run, since a program or an optional
    package is missing.
    """

    PASS = "pass"
    FAIL = "fail"
    TIMEOUT = "timeout"
    INFRA = "infra"
    SKIPPED = "skipped"

    @property
    def mark(self) -> str:
        return {"pass": "✔", "fail": "✘", "timeout": "!", "infra": "?", "skipped": "–"}[self]

    @property
    def colour(self) -> str:
        """The colour on a terminal, as rich names it."""
        bad, unknown = "red", "yellow"
        colours = {"pass": "green", "fail": bad, "timeout": bad, "infra": unknown}
        return colours.get(self, "bright_black")


@dataclass(frozen=True)
class Attempt:
    """An earlier attempt at a cell, which did not pass."""

    status: Status
    reason: str
    seconds: float


@dataclass(frozen=True)
class Row:
    """One cell of the matrix: one run of one notebook.

    Attributes:
        cell: Its name: endpoint/world/notebook and, if the matrix varies some, parameters.
        reason: Why it is not a pass; empty for a pass.
        by_claims: Whether the claims alone decide the status: the notebook ran to its end, with the
            versions of its world.
        claims: The notebook's claims, each with what the story expects.
        numbers: What the notebook measured; never part of a verdict.
        seconds: Duration of the last attempt.
        imported: Versions that the notebook imported, and that of its Python.
        earlier: Attempts before this one; a pass that has some is flaky.
        started: When the notebook started, in UTC.
        host: The machine that ran it.
        load: Processes that wanted a core just before, as the mean of one minute.
        jobs: Notebooks that ran at a time; concurrency bends timings.
        left_behind: Command lines of processes that it had left running, and that were ended.
        digest: Names everything that decides the result, so that a resumed run knows which rows
            hold.
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
    left_behind: list[str] = field(default_factory=list)
    digest: str = ""

    @property
    def number(self) -> str:
        """The notebook's number, as "07b"."""
        return number_of(self.notebook)

    @property
    def chosen(self) -> str:
        """The parameters that tell it from its neighbours; empty if there are none."""
        return ", ".join(self.cell.split("/")[3:]).replace(",", ", ")

    @property
    def flaky(self) -> bool:
        """Whether it passed only at a later attempt."""
        return self.status is Status.PASS and bool(self.earlier)

    @property
    def ended_words(self) -> str:
        """A sentence on the processes that it had left running; empty if there are none."""
        if not self.left_behind:
            return ""
        return f"Processes that it left running were ended: {'; '.join(self.left_behind)}."

    @property
    def error(self) -> str:
        """Why the notebook broke off; empty if it ran to its end or was skipped."""
        return "" if self.by_claims or self.status is Status.SKIPPED else self.reason


def count_claims(rows: Iterable[Row]) -> tuple[int, int]:
    """Return how many claims of the rows held, and how many there are."""
    claims = [claim for row in rows for claim in row.claims]
    return sum(claim.outcome is Outcome.AS_TOLD for claim in claims), len(claims)
