"""A sound library soaks green; two defects that an earlier soak missed are found."""

import pytest

from stream_lab.soak.plan import draw
from stream_lab.soak.styles import STYLES
from tests.stream_lab.soak.defects import DEFECTS
from tests.stream_lab.soak.soaking import MIX, SEED, Soaking, shows, soaking

__all__ = ["soaking"]
pytestmark = pytest.mark.timeout(300)
MISSED = (
    "the reader is cancelled, and the connection is not shut down",
    "alarms are never called off",
)
"""The others are played by `make planted`."""


def test_a_sound_library_has_no_violation(soaking: Soaking) -> None:
    played = soaking.play([draw(SEED, number) for number in range(1, MIX + 1)])
    assert [(each.what, str(each.plan)) for each in played.violations] == []
    assert sum(played.ends.values()) == MIX
    assert {"answer", "deadline", "cancelled", "left", "error"} <= set(played.ends)


def test_each_style_is_among_the_first_few_hundred_calls() -> None:
    assert {draw(SEED, number).style for number in range(1, 401)} == set(STYLES)


@pytest.mark.parametrize("name", MISSED)
def test_a_defect_that_an_earlier_soak_missed_is_found(name: str, soaking: Soaking) -> None:
    (defect,) = (each for each in DEFECTS if each.name == name)
    assert shows(defect, soaking)
