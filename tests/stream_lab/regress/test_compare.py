"""What counts as a regression, and what does not."""

from dataclasses import replace
from typing import Any

import pytest

from stream_lab.experiment.evidence import Claim, Outcome
from stream_lab.notebooks.row import Attempt, Row, Status
from stream_lab.regress.compare import NO_BASELINE, Baseline, compare, verdict
from stream_lab.regress.summary import Kind, Verdict

TOLD = Claim("it is freed", "yes", "yes", Outcome.AS_TOLD)
BROKEN = Claim("it is freed", "yes", "no", Outcome.NOT_AS_TOLD)
UNSHOWN = Claim("it is freed", "yes", "it stopped by itself", Outcome.NOT_SHOWN)


def row(status: Status, *claims: Claim, by_claims: bool = True, **more: Any) -> Row:
    return Row(
        "a/x/04",
        "a",
        "x",
        "04",
        "",
        {},
        status,
        by_claims=by_claims,
        claims=list(claims),
        seconds=10.0,
        **more,
    )


PASS, FAIL, UNTOLD = (
    row(Status.PASS, TOLD),
    row(Status.FAIL, BROKEN, reason="…"),
    row(Status.INFRA, UNSHOWN),
)
ERROR = row(Status.FAIL, TOLD, by_claims=False, reason="ValueError: x")
ERROR_AND_BROKEN = row(Status.FAIL, BROKEN, by_claims=False, reason="ValueError: x")
HANG = row(Status.TIMEOUT, by_claims=False, reason="a cell ran for more than 2 s")
DOWN = row(Status.INFRA, by_claims=False, reason="no server")
SKIP = row(Status.SKIPPED, by_claims=False, reason="nginx is not installed")

CASES: dict[str, tuple[Row, Row | None, list[tuple[Kind, str]], Verdict]] = {
    "all as told": (PASS, None, [], Verdict.AS_EXPECTED),
    "as before": (PASS, PASS, [], Verdict.AS_EXPECTED),
    "a claim flips": (FAIL, PASS, [(Kind.REGRESSION, "it is freed")], Verdict.REGRESSION),
    "a claim is not as told, and there is no baseline": (FAIL, None, [(Kind.REGRESSION, "it is freed")], Verdict.REGRESSION),
    "a claim is as bad as before": (FAIL, FAIL, [(Kind.KNOWN, "it is freed")], Verdict.AS_EXPECTED),
    "a claim is mended": (PASS, FAIL, [(Kind.MENDED, "it is freed")], Verdict.AS_EXPECTED),
    "a claim is not shown": (UNTOLD, PASS, [(Kind.UNKNOWN, "it is freed")], Verdict.UNKNOWN),
    "a claim is not shown, and there is no baseline": (UNTOLD, None, [(Kind.UNKNOWN, "it is freed")], Verdict.UNKNOWN),
    "an error": (ERROR, PASS, [(Kind.REGRESSION, "")], Verdict.REGRESSION),
    "an error, and there is no baseline": (ERROR, None, [(Kind.REGRESSION, "")], Verdict.REGRESSION),
    "an error as before": (ERROR, ERROR, [(Kind.KNOWN, "")], Verdict.AS_EXPECTED),
    "an error beside a claim that was bad before": (
        ERROR_AND_BROKEN, FAIL, [(Kind.KNOWN, "it is freed"), (Kind.REGRESSION, "")], Verdict.REGRESSION,
    ),
    "an error is mended": (PASS, ERROR, [(Kind.MENDED, "")], Verdict.AS_EXPECTED),
    "a hang": (HANG, PASS, [(Kind.REGRESSION, "")], Verdict.REGRESSION),
    "a hang where there was an error": (HANG, ERROR, [(Kind.REGRESSION, "")], Verdict.REGRESSION),
    "no server": (DOWN, PASS, [(Kind.UNKNOWN, "")], Verdict.UNKNOWN),
    "no server, as before": (DOWN, DOWN, [(Kind.UNKNOWN, "")], Verdict.UNKNOWN),
    "skipped where it was decided": (SKIP, PASS, [(Kind.UNKNOWN, "")], Verdict.UNKNOWN),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_row_is_compared_with_the_baseline(case: str) -> None:
    now, before, expected, answer = CASES[case]
    changes = compare(
        [now], Baseline("before", {before.cell: before}) if before else NO_BASELINE, slow=1.5
    )
    assert [(change.kind, change.claim) for change in changes] == expected
    assert verdict([now], changes) is answer


def test_a_skipped_cell_alone_is_unknown_and_beside_a_pass_it_does_no_harm() -> None:
    assert verdict([SKIP], compare([SKIP], NO_BASELINE, 1.5)) is Verdict.UNKNOWN
    assert verdict([PASS, SKIP], compare([PASS, SKIP], NO_BASELINE, 1.5)) is Verdict.AS_EXPECTED


def test_a_regression_weighs_more_than_an_unknown_cell() -> None:
    rows = [FAIL, replace(DOWN, cell="b")]
    assert verdict(rows, compare(rows, NO_BASELINE, 1.5)) is Verdict.REGRESSION


def test_a_change_has_the_earlier_and_the_present_state() -> None:
    (change,) = compare([FAIL], Baseline("b", {PASS.cell: PASS}), 1.5)
    assert (change.was, change.now) == ("yes", "no")


@pytest.mark.parametrize(("seconds", "slow"), [(14.0, False), (15.5, True), (9.0, False)])
def test_slow_is_a_warning_and_needs_half_as_much_again_and_five_seconds(
    seconds: float, slow: bool
) -> None:
    now = replace(PASS, seconds=seconds)
    changes = compare([now], Baseline("b", {PASS.cell: PASS}), 1.5)
    assert [change.kind for change in changes] == ([Kind.SLOW] if slow else [])
    assert verdict([now], changes) is Verdict.AS_EXPECTED


def test_two_seconds_that_became_four_are_not_called_slow() -> None:
    before, now = replace(PASS, seconds=2.0), replace(PASS, seconds=4.0)
    assert compare([now], Baseline("b", {before.cell: before}), 1.5) == []


def test_flaky_new_and_gone_cells_are_listed_and_change_no_verdict() -> None:
    now = replace(PASS, cell="new", earlier=[Attempt(Status.FAIL, "it is freed: no, not yes", 3.0)])
    changes = compare([now], Baseline("b", {PASS.cell: PASS}), 1.5)
    assert [change.kind for change in changes] == [Kind.NEW, Kind.FLAKY, Kind.GONE]
    assert verdict([now], changes) is Verdict.AS_EXPECTED


def test_a_claim_that_is_no_longer_made_is_unknown() -> None:
    before = replace(PASS, claims=[TOLD, replace(TOLD, text="and so is the slot")])
    changes = compare([PASS], Baseline("b", {before.cell: before}), 1.5)
    assert [(change.kind, change.claim, change.now) for change in changes] == [
        (Kind.UNKNOWN, "and so is the slot", "no longer claimed")
    ]
