"""What `make mutants` counts as noticed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import mutate
from broken_copy import NO_VERDICT_STATUS, Failure, Run

from tests import stood_still

RED = Run((Failure("tests/a.py::test_a", "call", "assert False"),), (), 1.0, 1)
GREEN = Run((), ("tests/a.py::test_a",), 1.0, 0)
BUSY = Run((), ("tests/a.py::test_a",), 1.0, stood_still.NO_VERDICT_STATUS)
ENDLESS = Run((), (), 60.0, None)
CRASHED = Run((), (), 1.0, 70)


class Copy:
    """Plays what a run with the mutant and one without it come to."""

    def __init__(self, broken: Run, healthy: Run) -> None:
        self._runs, self._now = {True: broken, False: healthy}, False

    @contextmanager
    def changed(self, name: str, text: str) -> Iterator[None]:
        self._now = True
        yield
        self._now = False

    def run(self, tests: list[str], *, limit: float) -> Run:
        return self._runs[self._now]


@pytest.mark.parametrize(
    ("broken", "healthy", "outcome"),
    [
        (RED, GREEN, "killed"),
        (RED, RED, "no verdict"),
        (RED, BUSY, "no verdict"),
        (ENDLESS, GREEN, "time-out"),
        (ENDLESS, ENDLESS, "no verdict"),
        (CRASHED, GREEN, "killed"),
        (BUSY, GREEN, "no verdict"),
        (GREEN, GREEN, "survived"),
    ],
)
def test_a_mutant_is_noticed_only_if_its_test_is_green_without_it(
    broken: Run, healthy: Run, outcome: str
) -> None:
    module: Any = SimpleNamespace(
        name="a.py",
        tests_for=lambda mutant: ["tests/a.py::test_a"],
        _measured=SimpleNamespace(seconds={}),
    )
    mutant: Any = SimpleNamespace(name="x → y", line=1, text="y")
    copy: Any = Copy(broken, healthy)
    assert mutate.tried(copy, module, mutant, set()).outcome == outcome
    assert (outcome in mutate.GONE) == (outcome in ("killed", "time-out"))


def test_a_busy_machine_ends_a_run_with_the_status_that_is_known_here() -> None:
    assert NO_VERDICT_STATUS == stood_still.NO_VERDICT_STATUS
