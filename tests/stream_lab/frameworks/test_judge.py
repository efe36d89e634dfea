"""A cell holds if call and server ended on time, with one generation."""

from dataclasses import replace
from typing import Any

import pytest

from stream_lab.frameworks.judge import SLACK, Mark, judge
from stream_lab.frameworks.outcome import Outcome

T = 1.5
GOOD = Outcome(
    ended=1.51, chain=("StreamDeadlineExceeded",), ours=True, chunks=9, requests=1, freed=1.52
)


def mark(scenario: str = "endless", **changes: Any) -> Mark:
    return judge(replace(GOOD, **changes), scenario, T).mark


def test_a_timely_end_with_one_generation_and_a_free_server_holds() -> None:
    assert judge(GOOD, "endless", T).holds


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ended": None, "freed": None}, Mark.RUNNING),
        ({"ended": T + SLACK + 0.01}, Mark.LATE),
        ({"freed": T + SLACK + 0.01}, Mark.BUSY),
        ({"freed": None}, Mark.BUSY),
        ({"requests": 3}, Mark.AGAIN),
        ({"requests": 0}, Mark.AGAIN),
        ({"ended": 0.2}, Mark.EARLY),
        ({"unplayed": "no such package"}, Mark.UNPLAYED),
    ],
    ids=lambda each: str(each),
)
def test_each_way_not_to_hold_has_its_mark(changes: dict[str, Any], expected: Mark) -> None:
    assert mark(**changes) is expected


def test_a_consumer_that_does_not_pull_may_end_late_if_its_server_is_free() -> None:
    assert mark("suspended", ended=4.02) is Mark.HOLDS
    assert mark("suspended", ended=None) is Mark.HOLDS
    assert mark("suspended", ended=4.02, freed=4.01) is Mark.BUSY


def test_a_server_that_is_free_before_the_time_of_a_suspended_consumer_shows_nothing() -> None:
    assert mark("suspended", ended=4.02, freed=0.3) is Mark.EARLY


def test_a_consumer_that_got_no_chunk_was_not_suspended() -> None:
    assert mark("suspended", chunks=0) is Mark.EARLY
    assert mark("endless", chunks=0) is Mark.HOLDS


def test_an_end_without_an_error_is_told_apart() -> None:
    verdict = judge(replace(GOOD, chain=(), ours=False), "endless", T)
    assert verdict.holds
    assert verdict.silent
    assert not judge(GOOD, "endless", T).silent


def test_a_wider_slack_forgives_a_busy_machine() -> None:
    late = replace(GOOD, ended=2.2, freed=2.2)
    assert not judge(late, "endless", T).holds
    assert judge(late, "endless", T, slack=1.0).holds
