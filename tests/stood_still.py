"""Run a test again that failed while the machine stood still, and say so.

A test that depends on real time fails on a machine that is busy with other work, and its failure
reads as a defect of the product. So a plain sleep runs beside all tests, counts the processes that
want a CPU, and adds up how long the test's own threads and processes wait for one. A test that fails
while the sleep is late, the count high, or the wait long, runs again after the machine has
recovered. A test that fails each time has no verdict: it is reported as skipped, with how busy the
machine was, and the run does not end with status 0. A test that fails on a calm machine has failed,
and so has one that needs no real time.

What the fixture of a module or a class measures is judged later, so it has a sleep of its own. If it
was made on a busy machine, a test that failed runs again with a new one. A cell of a notebook shows
what earlier ones measured: after one without a verdict, a red one has none either.
"""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_rerunfailures import _remove_cached_results_from_failed_fixtures

from tests.plain_sleep import PlainSleep
from tests.real_time import needs_real_time

RERUNS = 2
CALM = 0.5
"""Seconds of calm, after which the machine has recovered."""
PATIENCE = 15.0
"""Seconds that a test waits at most for the machine to recover."""

NO_VERDICT = "no verdict"
"""The section of a report and of the summary that says so."""
WAS_RED = "what was red"
"""The section with the failure itself."""
NO_VERDICT_STATUS = 6
"""The status of a run in which no test failed, but one has no verdict. pytest's own end with 5."""

_sleep, _clock = time.sleep, time.monotonic  # tests replace those of the module
_sleeper = PlainSleep()
_sleeper.__enter__()  # until the process ends
_config: pytest.Config | None = None
_beside: dict[pytest.FixtureDef[Any], PlainSleep] = {}
"""The sleeps beside the fixtures of modules and classes while they were made."""
_cells: dict[Path, str] = {}
"""How busy the machine was when a cell of a notebook got no verdict. Later cells show its results."""
_is_red = False
"""Whether the test that runs has failed. The condition is asked for green ones, too."""


def pytest_configure(config: pytest.Config) -> None:
    global _config
    _config = config


def stood_still() -> bool:
    """Return whether the test failed while the machine was too busy.

    If it did, wait until the machine has recovered.
    """
    if not _is_red or not _sleeper.busy:
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


def also_beside(sleep: PlainSleep) -> None:
    """Count a plain sleep beside something that was measured before the test that judges it."""
    _sleeper.also(sleep)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    again = pytest.mark.flaky(reruns=RERUNS, condition=stood_still)
    for item in items:
        # A cell of a notebook needs those before it, so it cannot run again by itself.
        if not _is_cell(item) and _depends_on_the_machine(item):
            item.add_marker(again)


def _is_cell(item: pytest.Item) -> bool:
    return type(item).__name__ == "IPyNbCell"


def _depends_on_the_machine(item: pytest.Item) -> bool:
    return _is_cell(item) or needs_real_time(item.path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    global _is_red
    _is_red = False
    _sleeper.start_anew()
    if getattr(item, "execution_count", 1) > 1:
        _limit_again(item)


def _limit_again(item: pytest.Item) -> None:
    """Set the timer of pytest-timeout, which stops at a failure, for a further try."""
    timeout: Any = item.config.pluginmanager.get_plugin("timeout")
    if timeout is None:
        return
    settings = timeout._get_item_settings(item)
    if settings.timeout and not settings.func_only:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    if fixturedef.scope not in {"module", "class"}:
        return (yield)
    _beside.pop(fixturedef, None)
    with PlainSleep() as sleep:
        made = yield
    _beside[fixturedef] = sleep
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    global _is_red
    report = yield
    _is_red = _is_red or report.failed
    if report.failed:
        for fixture in _fixtures(item):
            also_beside(_beside[fixture])
    if _is_red and report.when == "teardown":
        for fixture in _fixtures(item):
            if _beside[fixture].busy:
                fixture.finish(item._request)  # type: ignore[attr-defined]
    busy = _sleeper.busy or _cells.get(item.path, "")
    if report.failed and _depends_on_the_machine(item) and busy:
        if _is_cell(item):
            _cells[item.path] = busy
        report.sections.append((NO_VERDICT, busy))
        # The fixture of a module would fail for the next test too, by then on a calm machine.
        _remove_cached_results_from_failed_fixtures(item)
    return report


def _fixtures(item: pytest.Item) -> Iterator[pytest.FixtureDef[Any]]:
    """Yield the fixtures of modules and classes that a test uses."""
    info = getattr(item, "_fixtureinfo", None)  # the cell of a notebook has none
    for fixtures in getattr(info, "name2fixturedefs", {}).values():
        yield from (fixture for fixture in fixtures if fixture in _beside)


@pytest.hookimpl(wrapper=True)  # pytest's own, which counts the failures, comes first otherwise
def pytest_runtest_logreport(report: pytest.TestReport) -> Generator[None, None, None]:
    """Report the last failure on a busy machine as no verdict."""
    busy = dict(report.sections).get(NO_VERDICT)
    if busy is None or not report.failed:
        yield
        return
    report.sections.append((WAS_RED, report.longreprtext))
    file, line, _ = report.location
    report.outcome = "skipped"
    report.longrepr = (file, line or 0, f"{NO_VERDICT}: {busy}")
    yield
    if _config is not None and (failed := _config.pluginmanager.get_plugin("lfplugin")):
        failed.lastfailed[report.nodeid] = True  # so that `pytest --lf` runs it again


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and _without_verdict(reporter) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = NO_VERDICT_STATUS


def _without_verdict(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    return [
        report for report in reporter.getreports("skipped") if NO_VERDICT in dict(report.sections)
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    without = _without_verdict(terminalreporter)
    if not without:
        return
    terminalreporter.section(NO_VERDICT)
    for report in without:
        terminalreporter.line(f"{report.nodeid}\n{dict(report.sections)[WAS_RED]}\n")
    terminalreporter.line(
        f"{len(without)} tests were red each time while the machine was too busy, so they have no "
        "verdict. Run these again when it does nothing else:"
    )
    for report in without:
        terminalreporter.line(report.nodeid)
