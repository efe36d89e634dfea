"""A run as JUnit XML: a suite per endpoint × world, a case per claim.

A case fails only if it is worse than the baseline, so that a job's colour agrees with the exit
status.
"""

import re
from collections import Counter
from collections.abc import Iterator

from junitparser import Error, Failure, JUnitXml, Skipped, SystemOut, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from stream_lab.experiment.evidence import Claim, Outcome
from stream_lab.notebooks.row import ENDED, Row, Status
from stream_lab.regress.summary import Change, Kind, Summary
from stream_lab.untrusted import printable

DECIDING = (Kind.REGRESSION, Kind.UNKNOWN, Kind.KNOWN)
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(summary: Summary) -> str:
    """Return the document, for a file in UTF-8."""
    document = JUnitXml(_fit(summary.run))
    places = dict.fromkeys((row.endpoint, row.world) for row in summary.rows)
    for endpoint, world in places:
        rows = [row for row in summary.rows if (row.endpoint, row.world) == (endpoint, world)]
        suite = TestSuite(f"{endpoint}/{world}")
        suite.timestamp = min(row.started for row in rows)[:19] or summary.started[:19]
        suite.hostname = (
            ", ".join(sorted({_fit(row.host) for row in rows if row.host})) or "localhost"
        )
        suite.add_property("endpoint", _fit(summary.endpoints.get(endpoint, "")))
        for name, version in summary.worlds.get(world, {}).items():
            suite.add_property(_fit(name), _fit(version))
        suite.add_testcases([case for row in rows for case in _cases(row, summary)])
        document.append(suite)  # type: ignore[no-untyped-call]
    document.update_statistics()  # type: ignore[no-untyped-call]
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    body = text.decode("utf-8")
    return body if body.startswith("<?xml") else f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _cases(row: Row, summary: Summary) -> Iterator[TestCase]:
    """Yield a case for the whole cell, and one for each of its claims."""
    changes = [change for change in summary.changes if change.cell == row.cell]
    classname = ".".join(part.replace(".", "_") for part in (row.endpoint, row.world, row.notebook))
    chosen = row.chosen
    after = f" [{chosen}]" if chosen else ""
    whole = [change for change in changes if not change.claim]
    yield _case(
        f"{ENDED}{after}", classname, row.seconds, _ending(row, whole), _remarks(row, whole)
    )
    twice: Counter[str] = Counter()
    for claim in row.claims:
        twice[claim.text] += 1
        # A CI takes cases of one name for one case.
        again = f" ({twice[claim.text]})" if twice[claim.text] > 1 else ""
        own = [change for change in changes if change.claim == claim.text]
        mended = [f"mended; it was: {change.was}" for change in own if change.kind is Kind.MENDED]
        yield _case(f"{claim.text}{again}{after}", classname, 0.0, _outcome(claim, own), mended)


def _case(
    name: str, classname: str, seconds: float, result: FinalResult | None, remarks: list[str]
) -> TestCase:
    case = TestCase(" ".join(_fit(name).split()), _fit(classname), round(seconds, 3))
    if result is not None:
        case.append(result)  # type: ignore[no-untyped-call]
    if remarks:
        case.append(SystemOut(_fit("\n".join(remarks))))  # type: ignore[no-untyped-call]
    return case


def _ending(row: Row, changes: list[Change]) -> FinalResult | None:
    """Return what keeps the cell as a whole from being a pass; None: nothing."""
    if row.status is Status.SKIPPED:
        lost = next(
            (f" (it was {change.was} before)" for change in changes if change.kind is Kind.UNKNOWN),
            "",
        )
        return Skipped(_fit(row.reason + lost))
    if row.by_claims or row.status is Status.PASS:
        return None
    if row.status is Status.INFRA:
        return Error(_fit(row.reason), "could not tell")
    change = next((change for change in changes if change.kind in DECIDING), None)
    if change is not None and change.kind is Kind.KNOWN:
        return Skipped(_fit(f"as in the baseline: {row.reason}"))
    return _failure(row.reason, str(row.status), change)


def _outcome(claim: Claim, changes: list[Change]) -> FinalResult | None:
    """Return what keeps a claim from being a pass; None: nothing."""
    if claim.outcome is Outcome.AS_TOLD:
        return None
    change = next(
        (change for change in changes if change.kind in DECIDING and change.now == claim.found),
        None,
    )
    if change is not None and change.kind is Kind.KNOWN:
        return Skipped(_fit(f"as in the baseline: {claim.found}, not {claim.expected}"))
    words = f"{claim.found}, not {claim.expected}"
    return (
        Error(_fit(words), "not shown")
        if claim.outcome is Outcome.NOT_SHOWN
        else _failure(words, "not as told", change)
    )


def _failure(words: str, kind: str, change: Change | None) -> Failure:
    failure = Failure(_fit(words), kind)
    failure.text = (
        _fit(f"cell: {change.cell}\nnow: {change.now}\ninstead of: {change.was or 'a pass'}")
        if change
        else ""
    )
    return failure


def _remarks(row: Row, changes: list[Change]) -> list[str]:
    """Return remarks on a cell that passed."""
    flaky = [
        f"flaky: it passed when run once more; at first: {try_.status}, {try_.reason}"
        for try_ in row.earlier
        if row.flaky
    ]
    slow = [
        f"slow: it took {change.now}, before {change.was}"
        for change in changes
        if change.kind is Kind.SLOW
    ]
    return flaky + slow


def _fit(text: str) -> str:
    """Remove colours, escape what cannot be printed, and replace what XML forbids."""
    return NOT_XML.sub("�", printable(COLOURS.sub("", text)))
