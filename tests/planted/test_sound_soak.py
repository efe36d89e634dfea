"""A sound library soaks green, in a process where no other test has left anything."""

import pytest

from stream_lab.soak.plan import draw
from stream_lab.soak.styles import STYLES
from tests.stream_lab.soak.soaking import MIX, SEED, Soaking, soaking

__all__ = ["soaking"]
pytestmark = pytest.mark.timeout(300)


def test_a_sound_library_has_no_violation(soaking: Soaking) -> None:
    played = soaking.play([draw(SEED, number) for number in range(1, MIX + 1)])
    assert [(each.what, str(each.plan)) for each in played.violations] == []
    assert sum(played.ends.values()) == MIX
    assert {"answer", "deadline", "cancelled", "left", "error"} <= set(played.ends)


def test_each_style_is_among_the_first_few_hundred_calls() -> None:
    assert {draw(SEED, number).style for number in range(1, 401)} == set(STYLES)
