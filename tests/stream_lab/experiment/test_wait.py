"""On time is a wide band, and late is beyond it."""

from stream_lab.experiment.wait import LATE, ON_TIME, Wait


def test_half_a_second_late_is_still_on_time_and_more_is_not() -> None:
    assert Wait(due=0.3, over=0.3).verdict == ON_TIME
    assert Wait(due=0.3, over=0.75).verdict == ON_TIME
    assert Wait(due=0.3, over=0.85).verdict == LATE


def test_a_long_wait_may_be_late_by_a_quarter() -> None:
    assert Wait(due=40, over=49).verdict == ON_TIME
    assert Wait(due=40, over=51).verdict == LATE
