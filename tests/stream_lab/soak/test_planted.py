"""A soak finds each planted defect, and is green without one."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from stream_lab.soak.plan import Plan, draw
from stream_lab.soak.stage import Played, Stage, stage
from stream_lab.soak.styles import STYLES
from tests.stream_lab.soak.defects import DEFECTS, Defect

SEED = "planted"
SETTLES = 0.6  # seconds; what a defect leaves is there for longer
MIX = 100  # calls of the whole mix
pytestmark = pytest.mark.timeout(300)


class Soaking:
    """A stage that stays up for all tests of a module, and its event loop."""

    def __init__(self, runner: asyncio.Runner, made: Stage) -> None:
        self._runner, self._made = runner, made

    def play(self, plans: list[Plan]) -> Played:
        return self._runner.run(self._made.play(plans, tasks=40, threads=12))

    def forget(self) -> None:
        """Take what a defect has left for given."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stream_lab.soak.stage.SETTLES", SETTLES)
            self._runner.run(self._made.rebase())


@pytest.fixture(scope="module")
def soaking() -> Iterator[Soaking]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made = runner.run(stack.enter_async_context(stage()))
        yield Soaking(runner, made)
        runner.run(stack.aclose())


def first_calls(defect: Defect) -> list[Plan]:
    """Return the first calls that can show a defect."""
    found: list[Plan] = []
    number = 0
    while len(found) < defect.calls:
        number += 1
        plan = draw(SEED, number)
        if defect.where(plan) and not plan.crowded:
            found.append(plan)
    return found


def test_a_sound_library_has_no_violation(soaking: Soaking) -> None:
    played = soaking.play([draw(SEED, number) for number in range(1, MIX + 1)])
    assert [(each.what, str(each.plan)) for each in played.violations] == []
    assert sum(played.ends.values()) == MIX
    assert {"answer", "deadline", "cancelled", "left", "error"} <= set(played.ends)


def test_each_style_is_among_the_first_few_hundred_calls() -> None:
    assert {draw(SEED, number).style for number in range(1, 401)} == set(STYLES)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda each: each.name)
def test_a_planted_defect_is_found(defect: Defect, soaking: Soaking) -> None:
    with pytest.MonkeyPatch.context() as patch:
        defect.plant(patch)
        patch.setattr("stream_lab.soak.stage.SETTLES", SETTLES)
        played = soaking.play(first_calls(defect))
    soaking.forget()
    assert defect.shows in "\n".join(each.what for each in played.violations)
