"""A run as one document: what was run, what came of it, what changed, and the verdict. Its schema is docs/regress.schema.json."""

from dataclasses import dataclass, field
from enum import StrEnum
from inspect import getdoc
from typing import Any

from pydantic import TypeAdapter

from stream_lab.experiment.evidence import Claim
from stream_lab.notebooks.row import Attempt, Row, Status

VERSION = 1


class Verdict(StrEnum):
    """AS_EXPECTED: nothing is worse than what it was held against. REGRESSION: something is. UNKNOWN: it could not be told."""

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
    """What kind of change a line of the comparison tells."""

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
    """One difference from the baseline, or from the story where there is none.

    claim: the claim's text; empty: it is about the whole cell. was, now: in words.
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
        run: its name. version: of this document's form.
        verdict: in words; exit_status is the command's.
        against: what it was held against, in words.
        started, seconds: when (UTC) and how long; of a resumed run the last session.
        where: this machine or a cluster, and how many cells at a time.
        code: names the kit's own code; commit: of its checkout, "+" if it had changes; both empty if unknown.
        endpoints: in words, by name. worlds: versions by package, by name; empty if a world could not be made.
        notes: what a reader should know. rows, changes: in the order of the matrix.
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
    version: int = VERSION

    def of(self, *kinds: Kind) -> list[Change]:
        """The changes of these kinds."""
        return [change for change in self.changes if change.kind in kinds]

    def count(self, status: Status) -> int:
        """How many rows came to this."""
        return sum(row.status is status for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """As summary.json has it."""
        body: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return body


_ADAPTER = TypeAdapter(Summary)


def parse(text: str) -> Summary:
    """Read a summary.json.

    Raises:
        ValueError: it is not one.
    """
    return _ADAPTER.validate_json(text)


def schema() -> dict[str, Any]:
    """What summary.json holds, as a JSON schema."""
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
    """The run in a few lines, fit for a comment on a pull request."""
    lines = [
        f"### {summary.verdict.mark} {summary.verdict.capitalize()}: {_plain(summary.headline)}",
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
                    f"| {endpoint} | {world} | {counts} | {sum(row.seconds for row in rows):.0f} s |"
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
                f"- `{change.cell}`{': ' if change.claim else ''}{_plain(change.claim)}: {told(change)}"
                for change in changes
            ]
    lines += [
        "",
        f"Held against {_plain(summary.against)}. {_plain(summary.where)}, {summary.seconds:.0f} s. Run `{summary.run}`.",
    ]
    return "\n".join(lines) + "\n"


def told(change: Change) -> str:
    """A change in a few words, without its cell and claim."""
    now = _plain(change.now)
    if change.kind is Kind.FLAKY:
        return f"passed when run once more; at first {now}"
    if change.kind is Kind.KNOWN:
        return f"{now}, as before"
    return f"{now} (was {_plain(change.was)})" if change.was else now


def _plain(text: str) -> str:
    """On one line, and nothing in it is Markdown."""
    return " ".join(
        text.replace("|", "¦")
        .replace("`", "'")
        .replace("<", "‹")
        .replace(">", "›")
        .replace("*", "∗")
        .split()
    )
