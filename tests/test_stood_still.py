"""A test that failed while the machine stood still runs again."""

import os
import re
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from tests import cpu_waits, plain_sleep
from tests.cpu_waits import CpuTime, CpuWaits
from tests.plain_sleep import PlainSleep
from tests.real_time import needs_real_time
from tests.stood_still import NO_VERDICT_STATUS

pytest_plugins = ["pytester"]

FAILS, FAILS_LATE = ("", False), ("The machine stood still for 0.8 s.", False)
PASSES, PASSES_LATE = ("", True), ("The machine stood still for 0.8 s.", True)
TRIES = {
    "passes late": [PASSES_LATE],
    "fails": [FAILS, PASSES],
    "fails late once": [FAILS_LATE, PASSES],
    "fails late twice": [FAILS_LATE, FAILS_LATE, PASSES],
    "fails late, then fails": [FAILS_LATE, FAILS],
    "always fails late": [FAILS_LATE, FAILS_LATE, FAILS_LATE, PASSES],
}
"""How busy the machine was in each try, and whether the test passed."""

INNER = f"""
from types import SimpleNamespace
import pytest
from tests import stood_still

stood_still.CALM = 0.01
stood_still._sleeper = sleeper = SimpleNamespace(busy="")
sleeper.start_anew = lambda: setattr(sleeper, "busy", "")
sleeper.also = lambda other: setattr(sleeper, "busy", sleeper.busy or other.busy)
tries = {{name: iter(each) for name, each in {TRIES!r}.items()}}

@pytest.mark.parametrize("name", tries)
def test_it(name):
    sleeper.busy, right = next(tries[name])
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
        "always fails late": ["RERUN", "RERUN", "SKIPPED"],
    }
    assert "1 tests were red each time" in no_verdict
    assert "assert False" in no_verdict
    assert set(re.findall(r"test_it\[(.*)\]", no_verdict)) == {"always fails late"}


SLOW = """
@pytest.mark.timeout(1)
@pytest.mark.parametrize("name", tries)
def test_it(name):
    sleeper.busy = "The machine stood still for 0.8 s."
    if next(tries[name], None):
        raise AssertionError
    time.sleep(4)
"""


def test_each_try_of_a_test_has_the_time_that_its_limit_gives(pytester: pytest.Pytester) -> None:
    """The timer stops at the first failure."""
    head = INNER.partition("@pytest")[0]
    tries = "tries = {'fails once': iter([True]), 'is slow': iter([])}"
    outcomes, no_verdict = played(
        pytester, f"import subprocess\nimport time\n{head}\n{tries}\n{SLOW}"
    )
    assert set(outcomes) == {"fails once", "is slow"}
    assert [each[-1] for each in outcomes.values()] == ["SKIPPED", "SKIPPED"]
    assert no_verdict.count("Timeout (>1.0s)") >= 2


FIXTURE = """
@pytest.fixture(scope="module")
def of_the_module():
    sleeper.busy, right = next(of_fixture)
    if not right:
        raise TimeoutError

@pytest.mark.parametrize("name", ["first", "second"])
def test_it(name, of_the_module):
    pass
"""


@pytest.mark.parametrize(
    ("tries", "expected"),
    [
        ([FAILS_LATE, FAILS_LATE, FAILS_LATE, PASSES], {"first": "SKIPPED", "second": "PASSED"}),
        ([FAILS_LATE] * 6, {"first": "SKIPPED", "second": "SKIPPED"}),
        ([FAILS], {"first": "ERROR", "second": "ERROR"}),
    ],
)
def test_a_fixture_that_failed_on_a_busy_machine_is_made_again_for_the_next_test(
    tries: list[tuple[str, bool]], expected: dict[str, str], pytester: pytest.Pytester
) -> None:
    head = INNER.partition("@pytest")[0]
    text = f"import subprocess\n{head}\nof_fixture = iter({tries!r})\n{FIXTURE}"
    outcomes, _ = played(pytester, text)
    assert {name: each[-1] for name, each in outcomes.items()} == expected


MADE = """
class Sleep:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.busy = sleeper.busy

stood_still.PlainSleep = Sleep
ended = []

@pytest.fixture(scope="module")
def of_the_module():
    sleeper.busy, right = next(of_fixture)
    yield right
    ended.append(right)

@pytest.fixture
def of_the_test(of_the_module):
    yield of_the_module
    assert not ended

@pytest.mark.parametrize("name", ["first", "second"])
def test_it(name, of_the_test):
    sleeper.busy = "" if CALM else sleeper.busy
    ended.clear()
    assert of_the_test
"""


@pytest.mark.parametrize("is_calm_again", [False, True])
@pytest.mark.parametrize(
    ("tries", "expected"),
    [
        ([PASSES_LATE], {"first": ["PASSED"], "second": ["PASSED"]}),
        ([FAILS_LATE, PASSES], {"first": ["RERUN", "PASSED"], "second": ["PASSED"]}),
        ([FAILS_LATE, FAILS], {"first": ["RERUN", "FAILED"], "second": ["FAILED"]}),
        ([FAILS], {"first": ["FAILED"], "second": ["FAILED"]}),
    ],
)
def test_a_fixture_that_measured_on_a_busy_machine_measures_again_for_a_red_test(
    tries: list[tuple[str, bool]],
    expected: dict[str, list[str]],
    is_calm_again: bool,
    pytester: pytest.Pytester,
) -> None:
    head = INNER.partition("@pytest")[0]
    made = MADE.replace("CALM", repr(is_calm_again))
    text = f"import subprocess\n{head}\nof_fixture = iter({tries!r})\n{made}"
    assert played(pytester, text)[0] == expected


CELLS = """
from types import SimpleNamespace
from tests import stood_still

busy = iter(BUSY)
stood_still._sleeper = sleeper = SimpleNamespace(busy="", also=lambda other: None)
sleeper.start_anew = lambda: setattr(sleeper, "busy", next(busy))
"""


@pytest.mark.parametrize(
    ("busy", "skipped", "failed"),
    [
        (["", "It stood still.", ""], 2, 0),
        (["It stood still.", "", ""], 0, 2),
        (["", "", ""], 0, 2),
    ],
)
def test_a_cell_after_one_without_a_verdict_has_none_either(
    busy: list[str], skipped: int, failed: int, pytester: pytest.Pytester
) -> None:
    """The first cell is green, and the two others are red."""
    cells = [nbformat.v4.new_code_cell(text) for text in ("a = 1", "a / 0", "b")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), pytester.path / "cells.ipynb")
    pytester.makeconftest(CELLS.replace("BUSY", repr(busy)))
    options = ["--nbval-lax", "--nbval-current-env", "-p", "tests.stood_still", "-p", "no:xdist"]
    run = pytester.runpytest_subprocess(*options, "cells.ipynb")
    run.assert_outcomes(passed=1, skipped=skipped, failed=failed)


@pytest.mark.parametrize(
    ("selected", "status"), [("passes", 0), ("always", NO_VERDICT_STATUS), ("fails", 1)]
)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_is_green_only_if_each_test_has_a_verdict(
    selected: str, status: int, workers: int, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("import subprocess\n" + INNER)
    options = ["-p", "tests.stood_still", "-p", "no:nbval", "-p", "no:cacheprovider"]
    run = pytester.runpytest_subprocess("-n", str(workers), "-k", selected, *options)
    assert run.ret == status


AT_ONCE = """
import subprocess
from contextlib import closing
from types import SimpleNamespace
import pytest
from tests import at_once, stood_still
from tests.plain_sleep import PlainSleep

stood_still.CALM = 0.01
stood_still._sleeper = sleeper = SimpleNamespace(busy="")
sleeper.start_anew = lambda: setattr(sleeper, "busy", "")
sleeper.also = lambda other: setattr(sleeper, "busy", sleeper.busy or other.busy)
counts = {}

def count(name):
    counts[name] = counts.get(name, 0) + 1
    return counts[name]

def is_right(name):
    return name == "right" or (name == "late" and count(name) > 1)

made = []

class Sleep(PlainSleep):
    def __init__(self):
        super().__init__()
        made.append(self)
        self.is_first = len(made) <= 3

    @property
    def busy(self):
        return BUSY if self.is_first else ""

at_once.PlainSleep = Sleep
"""
CASES = '@pytest.mark.parametrize("name", ["right", "late", "wrong"])'
PLAYED = {
    "at once": f"""
@at_once.at_once
{CASES}
def test_it(name):
    assert is_right(name)
""",
    "side by side": f"""
@pytest.fixture(scope="module")
def found():
    with closing(at_once.SideBySide(is_right, ["right", "late", "wrong"], 2)) as found:
        yield found

{CASES}
def test_it(name, found):
    assert found[name]
""",
}


@pytest.mark.parametrize("how", PLAYED)
@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ("", {"right": ["PASSED"], "late": ["FAILED"], "wrong": ["FAILED"]}),
        (
            "It stood still.",
            {"right": ["PASSED"], "late": ["RERUN", "PASSED"], "wrong": ["RERUN", "FAILED"]},
        ),
    ],
)
def test_a_case_that_was_played_on_a_busy_machine_is_played_again(
    busy: str, expected: dict[str, list[str]], how: str, pytester: pytest.Pytester
) -> None:
    text = AT_ONCE.replace("BUSY", repr(busy)) + PLAYED[how]
    assert played(pytester, text)[0] == expected


def test_only_a_failed_test_waits_for_the_machine_to_recover(pytester: pytest.Pytester) -> None:
    waits = "\nstood_still._sleep = lambda seconds: print('It waits.')\n"
    pytester.makepyfile("import subprocess\n" + INNER + waits)
    options = ["-s", "-p", "tests.stood_still", "-p", "no:nbval", "-p", "no:xdist"]
    for selected, times in {"passes": 0, "late and once": 1}.items():
        ended = pytester.runpytest_subprocess("-k", selected, *options)
        assert ended.stdout.str().count("It waits.") == times


def test_a_test_without_a_verdict_is_among_the_last_failures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import subprocess\n" + INNER)
    options = ["-p", "tests.stood_still", "-p", "no:nbval", "-p", "no:xdist"]
    assert pytester.runpytest_subprocess("-k", "always", *options).ret == NO_VERDICT_STATUS
    again = pytester.runpytest_subprocess("--lf", "-v", *options)
    assert "always fails late" in "\n".join(again.outlines)
    again.assert_outcomes(skipped=1)


@pytest.mark.parametrize(
    ("file", "depends"),
    [
        ("stream_lab/doctor/test_hostile_servers.py", True),  # by its helper
        ("stream_deadline/test_http2.py", True),  # by its helper
        ("stream_deadline/test_left_behind.py", True),
        ("stream_lab/course/test_notebook_06.py", True),  # its checkers play servers and tests
        ("stream_deadline/test_budget.py", False),
        ("stream_deadline/test_transport.py", False),  # its clock is moved by hand
        ("stream_lab/lint/test_rules.py", False),  # its helpers have the words in texts
    ],
)
def test_a_file_depends_on_the_machine_if_it_or_a_helper_asks_a_server(
    file: str, depends: bool
) -> None:
    assert needs_real_time(Path(__file__).parent / file) is depends


def test_a_test_that_needs_no_real_time_is_not_tried_again(pytester: pytest.Pytester) -> None:
    outcomes, _ = played(pytester, INNER)
    assert {each for tries in outcomes.values() for each in tries} == {"PASSED", "FAILED"}


class TestABusyMachine:
    def test_is_one_whose_sleeps_are_late(self) -> None:
        sleep = PlainSleep()
        sleep.note(0.3)
        assert sleep.busy == "The machine stood still for 0.3 s."

    def test_is_one_whose_cpus_are_wanted_by_many(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Linux favours what has slept, so a sleep is on time beside many loops."""
        load = tmp_path / "loadavg"
        monkeypatch.setattr(plain_sleep, "LOAD", load)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        for running, busy in {3: "", 9: "4.0 processes wanted each CPU."}.items():
            load.write_text(f"1.00 1.00 1.00 {running}/300 4711\n", encoding="ascii")
            with PlainSleep() as sleep:
                while not sleep.crowd:
                    time.sleep(0.01)
            assert sleep.busy == busy
            sleep.start_anew()
            assert sleep.busy == ""

    @pytest.mark.parametrize(
        ("used", "waited", "is_busy"),
        [(0.2, 0.14, False), (0.2, 0.16, True), (0.01, 0.04, False), (0.0, 0.06, True)],
    )
    def test_is_one_that_lets_the_work_of_the_test_wait(
        self, used: float, waited: float, is_busy: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cpu = SimpleNamespace(look=lambda older_than: CpuTime(4.0, 7.0))
        monkeypatch.setattr(plain_sleep, "_cpu", cpu)
        sleep = PlainSleep()
        cpu.look = lambda older_than: CpuTime(4.0 + used, 7.0 + waited)
        assert ("waited for one" in sleep.busy) is is_busy
        sleep.start_anew()
        assert sleep.busy == ""


class TestWaitsForACpu:
    def test_those_of_other_processes_count(self) -> None:
        """Each of three loops for a CPU has it for a third of the time."""
        waits = CpuWaits()
        loops = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(3 * (os.cpu_count() or 1))
        ]
        try:
            while waits.look(0.0).used < 0.5:
                time.sleep(0.05)
        finally:
            for loop in loops:
                loop.kill()
                loop.wait()
        used, waited = waits.look(0.0)
        assert waited > used

    def test_the_times_of_an_ended_thread_stay_counted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = iter(
            [
                {"1": CpuTime(5.0, 1.0)},
                {"1": CpuTime(5.5, 1.25), "2": CpuTime(1.0, 2.0)},
                {"1": CpuTime(6.0, 1.5)},
                {"1": CpuTime(6.0, 1.5), "2": CpuTime(0.25, 0.5)},  # a new thread, an old number
            ]
        )
        monkeypatch.setattr(cpu_waits, "_threads", lambda: next(looks))
        monkeypatch.setattr(cpu_waits, "_clock", count().__next__)
        waits = CpuWaits()
        found = [waits.look(0.5) for _ in range(3)]
        assert found == [CpuTime(1.5, 2.25), CpuTime(2.0, 2.5), CpuTime(2.25, 3.0)]

    def test_a_look_that_is_new_enough_counts_once_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = count()
        monkeypatch.setattr(cpu_waits, "_threads", lambda: {"1": CpuTime(float(next(looks)), 0.0)})
        waits = CpuWaits()
        assert [waits.look(60.0).used for _ in range(3)] == [0.0, 0.0, 0.0]
