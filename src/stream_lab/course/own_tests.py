"""A reader's own test, run by pytest with attempt 1 and with the fix."""

import ast
import inspect
import json
import linecache
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream_lab.course.store import find_course
from stream_lab.extras import require

FILE = "test_deadline.py"
MARK = "# Written by an exercise of the course from its cell; change it there."
LONGEST = 60.0  # seconds for both runs, with the start of Python and of the fake
LIMIT = 12.0
"""Seconds that one test may take.

The fixture `fake_vllm` waits for five at most, so two waits that fail make a test red, and do not
hang it: one in the test, and one in its clean-up.
"""
RESULTS_VARIABLE = "STREAM_LAB_TEST_RESULTS"
LIMIT_VARIABLE = "STREAM_LAB_TEST_LIMIT"
ATTEMPT, FIX = "attempt 1", "the fix"
QUESTIONS = {"requests", "until_freed", "until_over", "wait_for", "aio"}
"""What a test can ask the fixture `fake_vllm` about the fake's work."""


@dataclass(frozen=True)
class Result:
    """What became of the tests of a file with one class.

    Attributes:
        passed: Whether all tests passed.
        hung: Whether one had to be ended.
        said: The first line of what a red test said. Empty: none was red.
        streams: How many streams of the class were begun.
        chunks: How many chunks they had.
        late: How many of these came after the model's deadline.
        tasks: How many tasks pulled a chunk.
        finished: Whether the model ended a stream by itself.
        asked_late: Whether the test left the stream before it asked the fake about its work.
        broken: The error, other than a TimeoutError, that a stream of the class ended with. Empty:
            none did.
    """

    passed: bool
    hung: bool
    said: str
    streams: int
    chunks: int
    late: int
    tasks: int
    finished: bool
    asked_late: bool
    broken: str = ""

    @property
    def why_green(self) -> str:
        """The likely reason for which attempt 1 passed, as a sentence."""
        if not self.streams:
            return "It never streams from the model: does it call `astream`?"
        if not self.chunks:
            return (
                "No chunk came before the deadline, and that is the case in which attempt 1 works "
                "in a chain, too: let the fake talk."
            )
        if self.finished:
            return "The stream ended by itself: which scenario does the fake play?"
        if self.late:
            return (
                "Chunks came after the deadline, and still it passed: is a time-out of the test's "
                "own taken for the model's? Bound the loop in another way."
            )
        if self.tasks == 1:
            return (
                "One task pulled every chunk, and there attempt 1 works: does your test use a "
                "chain?"
            )
        return "Does it expect a TimeoutError?"


@dataclass(frozen=True)
class Outcome:
    """Both results.

    Attributes:
        attempt: The result with attempt 1.
        fix: The result with the fix.
        problem: Why there are no results; empty if there are.
    """

    attempt: Result = field(default_factory=lambda: _result([]))
    fix: Result = field(default_factory=lambda: _result([]))
    problem: str = ""


def run_with_attempts(test: Callable[..., Any]) -> Outcome:
    """Write a test's cell to a file, and run pytest on it with both classes.

    In a copy of the course the file lies beside the notebook, otherwise in a temporary folder.

    Raises:
        NotImplementedError: The test is still the skeleton.
        MissingExtra: pytest is not installed.
    """
    require("pytest", extra="lab")
    code = cell_of(test)
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return Outcome(
            problem=f"The cell is no module of Python: {error.msg}, line {error.lineno}."
        )
    if any(isinstance(each, ast.Raise) and _skeleton(each) for each in ast.walk(tree)):
        raise NotImplementedError
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path.cwd() if find_course(Path.cwd()) else Path(temporary)
        file = folder / FILE
        if file.exists() and not file.read_text(encoding="utf-8").startswith(MARK):
            return Outcome(problem=f"There is a {FILE} of yours beside the notebook: rename it.")
        file.write_text(f"{MARK}\n\n{code.strip()}\n", encoding="utf-8")
        return outcome_of(*play(file, Path(temporary)))


def cell_of(test: Callable[..., Any]) -> str:
    """Return the source of the cell that defines a function."""
    function = inspect.unwrap(test)
    lines = linecache.getlines(function.__code__.co_filename)
    return "".join(lines) if lines else textwrap.dedent(inspect.getsource(function))


def _skeleton(statement: ast.Raise) -> bool:
    return statement.exc is not None and "NotImplementedError" in ast.unparse(statement.exc)


def play(file: Path, temporary: Path, *, limit: float = LIMIT) -> tuple[list[dict[str, Any]], str]:
    """Run pytest on a file, and return the results of its tests and the output.

    Args:
        file: The file with the tests.
        temporary: A folder for what the run needs.
        limit: Seconds that one test may take.
    """
    results = temporary / "results.json"
    settings = temporary / "pytest.ini"
    settings.write_text("[pytest]\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-c", str(settings),
        "-p", "no:cacheprovider", "-p", "fake_vllm.pytest_plugin",
        "-p", "stream_lab.course.pytest_attempts", str(file),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        RESULTS_VARIABLE: str(results),
        LIMIT_VARIABLE: str(limit),
    }
    environment.pop("PYTEST_ADDOPTS", None)
    try:
        ended = subprocess.run(
            command,
            cwd=temporary,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [], f"E  pytest had not ended after {LONGEST:g} seconds"
    found = json.loads(results.read_text(encoding="utf-8")) if results.exists() else []
    return found, ended.stdout + ended.stderr


def outcome_of(found: list[dict[str, Any]], output: str) -> Outcome:
    """Return the outcome of a run.

    Args:
        found: The results of its tests.
        output: What pytest printed.
    """
    by_attempt = {
        name: [each for each in found if each["attempt"] == name] for name in (ATTEMPT, FIX)
    }
    if not all(by_attempt.values()):
        return Outcome(problem=_no_results(output))
    return Outcome(_result(by_attempt[ATTEMPT]), _result(by_attempt[FIX]))


def _no_results(output: str) -> str:
    """Say why no test ran with a class."""
    errors = [line[2:].strip() for line in output.splitlines() if line.startswith("E  ")]
    if errors:
        return f"pytest cannot run the file: {errors[-1]}."
    return "No test ran with the classes: take the fixture `model_class` as a parameter."


def _result(tests: list[dict[str, Any]]) -> Result:
    return Result(
        passed=all(each["passed"] for each in tests),
        hung=any(each["hung"] for each in tests),
        said=next((each["said"] for each in tests if not each["passed"]), ""),
        streams=sum(each["streams"] for each in tests),
        chunks=sum(each["chunks"] for each in tests),
        late=sum(each["late"] for each in tests),
        tasks=max((each["tasks"] for each in tests), default=0),
        finished=any(each["finished"] for each in tests),
        asked_late=any(each["asked_late"] for each in tests),
        broken=next((each["broken"] for each in tests if each["broken"]), ""),
    )
