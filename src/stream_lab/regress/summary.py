"""A run as one document: its rows, its changes and its verdict.

Its schema is docs/regress.schema.json.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from inspect import getdoc
from typing import Any

from pydantic import TypeAdapter

from stream_lab.experiment.evidence import Claim
from stream_lab.notebooks.row import Attempt, Row, Status
from stream_lab.untrusted import in_markdown, one_line

VERSION = 1


class Verdict(StrEnum):
    """The verdict on a whole run.

    AS_EXPECTED: nothing is worse than the baseline. REGRESSION: something is. UNKNOWN: the run
    could not tell.
    """

    AS_EXPECTED = "as expected"
    REGRESSION = "regression"
    UNKNOWN = "could not tell"

    @property
    def mark(self) -> str:
        return {"as expected": "✔", "regression": "✘", "could not tell": "?"}[self]

    @property
    def exit_status(self) -> int:
        return {"as expected": 0, "regression": 1, "could not tell": 2}[self]


class Kind(StrEnum):
    """The kind of a change."""

    REGRESSION = "regression"
    UNKNOWN = "could not tell"
    KNOWN = "known"
    MENDED = "mended"
    FLAKY = "flaky"
    SLOW = "slow"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True)
class Change:
    """One difference from the baseline, or from the story if there is none.

    Attributes:
        claim: The claim's text; empty if the change is about the whole cell.
        was: The earlier state, in words.
        now: The state in this run, in words.
    """

    kind: Kind
    cell: str
    claim: str
    was: str
    now: str


@dataclass(frozen=True)
class Summary:
    """A run.

    Attributes:
        run: Its name.
        verdict: The verdict, in words.
        exit_status: The status of the command.
        headline: The result in one line.
        against: The baseline, in words.
        started: When the last session began, in UTC.
        seconds: Duration of the last session.
        where: This machine or a cluster, and how many cells at a time.
        code: Names the kit's own code; empty if unknown.
        commit: The checkout's commit, "+" if it had changes; empty if unknown.
        endpoints: Each endpoint in words, by name.
        worlds: Versions by package, by the world's name; empty if the world could not be made.
        rows: The cells, in the order of the matrix.
        changes: The changes, in the order of the matrix.
        notes: What a reader should know.
        continues: The name of the finished run whose rows this one goes on with; empty: none.
        version: The version of this document's form.
    """

    run: str
    verdict: Verdict
    exit_status: int
    headline: str
    against: str
    started: str
    seconds: float
    where: str
    code: str
    commit: str
    endpoints: dict[str, str]
    worlds: dict[str, dict[str, str]]
    rows: list[Row]
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    continues: str = ""
    version: int = VERSION

    def of(self, *kinds: Kind) -> list[Change]:
        """Return the changes of these kinds."""
        return [change for change in self.changes if change.kind in kinds]

    def count(self, status: Status) -> int:
        """Return how many rows have this status."""
        return sum(row.status is status for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of summary.json."""
        body: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return body


_ADAPTER = TypeAdapter(Summary)


def parse(text: str) -> Summary:
    """Read a summary.json.

    Raises:
        ValueError: The text is not one.
    """
    return _ADAPTER.validate_json(text)


def schema() -> dict[str, Any]:
    """Return the JSON schema of summary.json."""
    found = _ADAPTER.json_schema()
    found["description"] = getdoc(Summary)
    for part in (
        Attempt,
        Change,
        Claim,
        Row,
    ):  # some versions of pydantic put them in, others do not
        found["$defs"][part.__name__]["description"] = getdoc(part)
    return found


def markdown(summary: Summary) -> str:
    """Return the run in a few lines, for a comment on a pull request."""
    lines = [
        f"### {summary.verdict.mark} {summary.verdict.capitalize()}: "
        f"{in_markdown(summary.headline)}",
        "",
    ]
    statuses = [status for status in Status if summary.count(status)]
    lines += [
        "| endpoint | world | " + " | ".join(statuses) + " | time |",
        "|---" * (len(statuses) + 3) + "|",
    ]
    for endpoint in summary.endpoints:
        for world in summary.worlds:
            rows = [row for row in summary.rows if (row.endpoint, row.world) == (endpoint, world)]
            if rows:
                counts = " | ".join(
                    str(sum(row.status is status for row in rows) or "") for status in statuses
                )
                lines.append(
                    f"| {endpoint} | {world} | {counts} | {sum(row.seconds for row in rows):.0f} s "
                    "|"
                )
    for kinds, title in (
        ((Kind.REGRESSION,), "Regressions"),
        ((Kind.UNKNOWN,), "Could not be told"),
        ((Kind.FLAKY, Kind.SLOW), "Warnings"),
        ((Kind.KNOWN,), "As bad as before"),
        ((Kind.MENDED,), "Mended"),
    ):
        if changes := summary.of(*kinds):
            lines += ["", f"**{title}**", ""]
            lines += [
                f"- `{change.cell}`{': ' if change.claim else ''}"
                + in_markdown(f"{change.claim}: {told(change)}")
                for change in changes
            ]
    lines += [
        "",
        f"Held against {in_markdown(f'{summary.against}. {summary.where}')}, "
        f"{summary.seconds:.0f} s. Run `{summary.run}`{f', which continues `{summary.continues}`' * bool(summary.continues)}.",
    ]
    return "\n".join(lines) + "\n"


def told(change: Change) -> str:
    """Return a change in a few words on one line, without its cell and claim."""
    now = one_line(change.now, None)
    if change.kind is Kind.FLAKY:
        return f"passed when run once more; at first {now}"
    if change.kind is Kind.KNOWN:
        return f"{now}, as before"
    return f"{now} (was {one_line(change.was, None)})" if change.was else now
