"""A plugin of pytest for `make coverage`: it notes each test's lines and time.

Its options are the variables of coverage. The tests run the same with and without it.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage import Coverage

SETTINGS = Path(__file__).parents[1] / "pyproject.toml"
SECONDS = Path(os.environ.get("TEST_SECONDS", ".measured/seconds")).absolute()
"""The folder of the tests' times, one file for each process that runs tests."""


def pytest_configure() -> None:
    """Let each process that a test starts read the settings, which name the test."""
    if (measuring := Coverage.current()) is not None:
        os.environ["COVERAGE_PROCESS_START"] = str(SETTINGS)
        os.environ["COVERAGE_FILE"] = os.path.abspath(str(measuring.get_option("run:data_file")))


def function_of(nodeid: str) -> str:
    """Return a test without its case, since some run all cases side by side."""
    return nodeid.partition("[")[0]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Measure the lines of a test under its name."""
    if (measuring := Coverage.current()) is not None:
        measuring.switch_context(function_of(item.nodeid))
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the time of one of its parts, where a test has just run."""
    if hasattr(report, "node"):  # it came from another process
        return
    SECONDS.mkdir(parents=True, exist_ok=True)
    with (SECONDS / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps([function_of(report.nodeid), report.duration]) + "\n")
