"""A stage of the soak for tests, and the calls that show a defect."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from stream_lab.soak.plan import Plan, draw
from stream_lab.soak.stage import Played, Stage, stage
from tests.stream_lab.soak.defects import Defect

SEED = "planted"
SETTLES = 0.6  # seconds; what a defect leaves is there for longer
MIX = 100  # calls of the whole mix


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
    gc.collect()  # what other tests have left must not be reported as the soak's
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


def shows(defect: Defect, soaking: Soaking) -> bool:
    """Return whether a soak shows a planted defect."""
    with pytest.MonkeyPatch.context() as patch:
        defect.plant(patch)
        patch.setattr("stream_lab.soak.stage.SETTLES", SETTLES)
        played = soaking.play(first_calls(defect))
    soaking.forget()
    return defect.shows in "\n".join(each.what for each in played.violations)
