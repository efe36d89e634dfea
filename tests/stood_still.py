"""Run a test again that failed while the machine stood still, and say so.

A test that depends on real time fails on a machine that is busy with other work, and its failure
reads as a defect of the product. So a plain sleep runs beside all tests, and counts the processes
that want a CPU. A test that fails while the sleep is late, or the count high, runs again after the
machine has recovered. A test that fails each time is reported as failed, and as no verdict. A test
that fails on a calm machine has failed, and so has one that needs no real time.
"""

import time
from collections.abc import Generator

import pytest

from tests.plain_sleep import PlainSleep
from tests.real_time import needs_real_time

RERUNS = 2
CALM = 0.5
"""Seconds of calm, after which the machine has recovered."""
PATIENCE = 15.0
"""Seconds that a test waits at most for the machine to recover."""

NO_VERDICT = "no verdict"
"""The section of a report and of the summary that says so."""

_sleep, _clock = time.sleep, time.monotonic  # tests replace those of the module
_sleeper = PlainSleep()
_sleeper.__enter__()  # until the process ends


def stood_still() -> bool:
    """Return whether the machine was too busy during the test.

    If it was, wait until it has recovered.
    """
    if not _sleeper.busy:
        return False
    until = _clock() + PATIENCE
    while _clock() < until:
        _sleeper.start_anew()
        _sleep(CALM)
        if not _sleeper.busy:
            break
    return True


def also_late(seconds: float) -> None:
    """Count another witness of the machine, which was late, as the plain sleep."""
    _sleeper.note(seconds)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    again = pytest.mark.flaky(reruns=RERUNS, condition=stood_still)
    for item in items:
        # A cell of a notebook needs those before it, so it cannot run again by itself.
        if type(item).__name__ != "IPyNbCell" and needs_real_time(item.path):
            item.add_marker(again)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _sleeper.start_anew()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and (busy := _sleeper.busy):
        report.sections.append((NO_VERDICT, busy))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = [
        report
        for outcome in ("failed", "error")
        for report in terminalreporter.getreports(outcome)
        if any(name == NO_VERDICT for name, _ in report.sections)
    ]
    if failed:
        terminalreporter.section(NO_VERDICT)
        terminalreporter.line(
            f"{len(failed)} of the failures came while the machine was too busy, so they are no "
            "verdict. Run these again when it does nothing else:"
        )
        for report in failed:
            terminalreporter.line(report.nodeid)
