"""A test that failed while the machine stood still runs again."""

import re

import pytest

pytest_plugins = ["pytester"]

FAILS, FAILS_LATE = (0.0, False), (0.8, False)
PASSES, PASSES_LATE = (0.0, True), (0.8, True)
TRIES = {
    "passes late": [PASSES_LATE],
    "fails": [FAILS, PASSES],
    "fails late once": [FAILS_LATE, PASSES],
    "fails late twice": [FAILS_LATE, FAILS_LATE, PASSES],
    "fails late, then fails": [FAILS_LATE, FAILS],
    "always fails late": [FAILS_LATE, FAILS_LATE, FAILS_LATE, PASSES],
}
"""How late a plain sleep was in each try, and whether the test passed."""

INNER = f"""
from types import SimpleNamespace
import pytest
from tests import stood_still

stood_still.CALM = 0.01
stood_still._sleeper = sleeper = SimpleNamespace(late=0.0)
sleeper.start_anew = lambda: setattr(sleeper, "late", 0.0)
tries = {{name: iter(each) for name, each in {TRIES!r}.items()}}

@pytest.mark.parametrize("name", tries)
def test_it(name):
    sleeper.late, right = next(tries[name])
    assert right
"""


def played(pytester: pytest.Pytester, text: str) -> tuple[dict[str, list[str]], str]:
    """Return the outcomes of each test, and what the summary says about no verdict."""
    pytester.makepyfile(text)
    plugins = ("tests.stood_still", "no:nbval", "no:xdist", "no:cacheprovider")
    options = [each for name in plugins for each in ("-p", name)]
    lines = pytester.runpytest_subprocess("-v", "-rN", *options).outlines
    outcomes: dict[str, list[str]] = {}
    for line in lines:
        if found := re.search(r"test_it\[(.*)\] ([A-Z]+)", line):
            outcomes.setdefault(found[1], []).append(found[2])
    _, _, summary = "\n".join(lines).partition("= no verdict =")
    return outcomes, summary


def test_only_a_failure_while_the_machine_stands_still_is_tried_again(
    pytester: pytest.Pytester,
) -> None:
    outcomes, no_verdict = played(pytester, "import subprocess\n" + INNER)
    assert outcomes == {
        "passes late": ["PASSED"],
        "fails": ["FAILED"],
        "fails late once": ["RERUN", "PASSED"],
        "fails late twice": ["RERUN", "RERUN", "PASSED"],
        "fails late, then fails": ["RERUN", "FAILED"],
        "always fails late": ["RERUN", "RERUN", "FAILED"],
    }
    assert "1 of the failures" in no_verdict
    assert re.findall(r"test_it\[(.*)\]", no_verdict) == ["always fails late"]


def test_a_test_that_needs_no_real_time_is_not_tried_again(pytester: pytest.Pytester) -> None:
    outcomes, _ = played(pytester, INNER)
    assert {each for tries in outcomes.values() for each in tries} == {"PASSED", "FAILED"}
