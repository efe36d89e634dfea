"""Compare a run with a baseline: what is worse, better or unknown."""

from dataclasses import dataclass

from stream_lab.experiment.evidence import Claim, Outcome
from stream_lab.notebooks.row import Row, Status
from stream_lab.regress.summary import Change, Kind, Verdict

SLOW_AT_LEAST = 5.0
"""Seconds above the baseline, below which nothing counts as slow: machines are noisy."""
STORY = "the story alone"
DECIDED = (Status.PASS, Status.FAIL, Status.TIMEOUT)


@dataclass(frozen=True)
class Baseline:
    """What a run is compared with.

    Attributes:
        words: What the baseline is, for people.
        rows: Rows by cell; without any, the story alone says what is expected.
    """

    words: str
    rows: dict[str, Row]


NO_BASELINE = Baseline(STORY, {})


def compare(rows: list[Row], baseline: Baseline, slow: float) -> list[Change]:
    """Return every difference, in the order of the rows.

    Args:
        rows: The run's rows.
        baseline: The rows to compare with.
        slow: How many times the baseline's seconds are a warning.
    """
    changes: list[Change] = []
    for row in rows:
        before = baseline.rows.get(row.cell)
        if before is None and baseline.rows:
            changes.append(Change(Kind.NEW, row.cell, "", "", str(row.status)))
        changes += _cell(row, before)
        if row.flaky:
            changes.append(
                Change(Kind.FLAKY, row.cell, "", "", row.earlier[0].reason or row.earlier[0].status)
            )
        if before is not None and _slower(row, before, slow):
            changes.append(
                Change(Kind.SLOW, row.cell, "", f"{before.seconds:.1f} s", f"{row.seconds:.1f} s")
            )
    now = {row.cell for row in rows}
    changes += [
        Change(Kind.GONE, cell, "", str(row.status), "not in the matrix")
        for cell, row in baseline.rows.items()
        if cell not in now
    ]
    return changes


def _slower(row: Row, before: Row, slow: float) -> bool:
    both = row.status is before.status is Status.PASS
    return both and row.seconds > max(slow * before.seconds, before.seconds + SLOW_AT_LEAST)


def verdict(rows: list[Row], changes: list[Change]) -> Verdict:
    """Return one answer for the whole run; unknown if no row is decided."""
    kinds = {change.kind for change in changes}
    if Kind.REGRESSION in kinds:
        return Verdict.REGRESSION
    if Kind.UNKNOWN in kinds or not any(row.status in DECIDED for row in rows):
        return Verdict.UNKNOWN
    return Verdict.AS_EXPECTED


def _cell(row: Row, before: Row | None) -> list[Change]:
    if row.status is Status.SKIPPED:
        if before is None or before.status not in DECIDED:
            return []
        return [Change(Kind.UNKNOWN, row.cell, "", str(before.status), row.reason)]
    changes = []
    outcomes = {claim.text: claim for claim in before.claims} if before is not None else {}
    for claim in row.claims:
        kind, was = _claim(claim, outcomes.get(claim.text))
        if kind is not None:
            changes.append(Change(kind, row.cell, claim.text, was, claim.found))
    if not row.by_claims:
        return [*changes, _beyond_claims(row, before)]
    now = {claim.text for claim in row.claims}
    gone = [claim for text, claim in outcomes.items() if text not in now]
    changes += [
        Change(Kind.UNKNOWN, row.cell, claim.text, claim.found, "no longer claimed")
        for claim in gone
    ]
    if (
        row.status is Status.PASS
        and before is not None
        and before.status in (Status.FAIL, Status.TIMEOUT)
        and not changes
    ):
        changes.append(Change(Kind.MENDED, row.cell, "", before.reason, "pass"))
    return changes


def _beyond_claims(row: Row, before: Row | None) -> Change:
    """Return the change of a cell with an error, a time-out, or no result."""
    same = before is not None and before.status is row.status and not before.by_claims
    kind = Kind.UNKNOWN if row.status is Status.INFRA else Kind.KNOWN if same else Kind.REGRESSION
    return Change(kind, row.cell, "", str(before.status) if before else "", row.reason)


def _claim(claim: Claim, before: Claim | None) -> tuple[Kind | None, str]:
    was = before.found if before is not None else ""
    if claim.outcome is Outcome.AS_TOLD:
        return (
            (Kind.MENDED, was)
            if before is not None and before.outcome is Outcome.NOT_AS_TOLD
            else (None, "")
        )
    if before is not None and before.outcome is claim.outcome:
        return Kind.KNOWN, was
    return (
        Kind.REGRESSION if claim.outcome is Outcome.NOT_AS_TOLD else Kind.UNKNOWN
    ), was or claim.expected
