"""Run tests on a changed copy of the project, and never on the checkout.

The tests run in forks of this process, which has imported the slow packages once. Nothing of the
project itself is imported here, so that each fork imports the copy.
"""

import compileall
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SLOW = """
    langchain_openai langchain_core.prompts.chat openai.resources.chat.completions
    openai.resources.responses anyio httpx2 hypothesis pydantic yaml
""".split()
"""Packages that most tests import from elsewhere."""
OURS = ("stream_deadline", "stream_lab", "fake_vllm", "tests", "conftest")
"""The packages of the project."""
QUICK = "tests/stream_deadline/test_budget.py"
"""What is collected once, so that pytest's plugins are loaded."""
PARTS = ("src", "fake_vllm", "tests", "templates", "docs", "conftest.py", "pyproject.toml")
"""What the tests need of the checkout."""
NO_VERDICT_STATUS = 6
"""What pytest ends with if the machine was too busy; see tests/stood_still.py."""
LOOKS_EVERY = 0.05
WORDS = 4000
"""The most characters of a failure that are kept."""


@dataclass(frozen=True)
class Failure:
    """A test that was red.

    Attributes:
        test: its id.
        when: "setup", "call" or "teardown"; "collect": its module could not be imported.
        text: what pytest says, without its colours.
    """

    test: str
    when: str
    text: str


@dataclass(frozen=True)
class Run:
    """What came of a run of tests.

    Attributes:
        failures: the tests that were red, in order.
        passed: the tests that were green.
        seconds: how long it took.
        status: pytest's exit status. None: it ran out of time, or crashed.
    """

    failures: tuple[Failure, ...]
    passed: tuple[str, ...]
    seconds: float
    status: int | None

    @property
    def is_green(self) -> bool:
        """Whether tests ran, and none was red."""
        return self.status == 0 and bool(self.passed)


class BrokenCopy:
    """A copy of the project in a temporary folder.

    Attributes:
        folder: the copy.
    """

    def __init__(self) -> None:
        """Copy the files that Git knows or would add, and import the slow packages."""
        self._temporary = tempfile.TemporaryDirectory(prefix="broken-copy-")
        self.folder = Path(self._temporary.name)
        command = ["git", "ls-files", "-co", "--exclude-standard", "--", *PARTS]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.folder / name)
        (self.folder / "notebooks").mkdir(exist_ok=True)
        # Checked by content: a change within a second, of the same length, would look like none.
        for name in ("src", "fake_vllm"):
            compileall.compile_dir(
                self.folder / name, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH
            )
        for name in SLOW:
            with suppress(ImportError):
                import_module(name)
        self._load_plugins()

    def _load_plugins(self) -> None:
        """Let pytest load its plugins once, and forget the modules of the project."""
        before = set(sys.modules)
        paths = list(sys.path)
        with chdir(self.folder), open(os.devnull, "w") as silence, redirect_stdout(silence):
            sys.path[:0] = [str(self.folder), str(self.folder / "src")]
            pytest.main(["-q", "-n", "0", "--collect-only", "-p", "no:cacheprovider", QUICK])
        sys.path[:] = paths
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in OURS:
                del sys.modules[name]

    def __enter__(self) -> "BrokenCopy":
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    @contextmanager
    def changed(self, name: str, text: str) -> Iterator[None]:
        """Give a file another text inside the block."""
        path = self.folder / name
        before = path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    def run(
        self, tests: Sequence[str], *, limit: float, each: float = 60.0, all_of_them: bool = False
    ) -> Run:
        """Run tests in a fork, until one is red.

        Args:
            tests: their ids, in order.
            limit: seconds for the whole run.
            each: seconds for one test.
            all_of_them: whether tests run on after a red one.
        """
        notes = self.folder / "notes.jsonl"
        notes.unlink(missing_ok=True)
        options = ["--timeout", f"{each:g}"] if all_of_them else ["--timeout", f"{each:g}", "-x"]
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _in_fork(lambda: self._pytest([*options, *tests], notes))
        status = _ended(pid, limit)
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        read: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return Run(
            tuple(Failure(**each) for each in read if each["text"] is not None),
            tuple(each["test"] for each in read if each["text"] is None),
            time.monotonic() - began,
            status,
        )

    def _pytest(self, arguments: Sequence[str], notes: Path) -> int:
        os.chdir(self.folder)
        paths = [str(self.folder), str(self.folder / "src")]
        sys.path[:0] = paths
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        options = ["-q", "-n", "0", "-p", "no:cacheprovider"]
        return pytest.main([*options, *arguments], plugins=[_Notes(notes)])


class _Notes:
    """A plugin of pytest that notes each test as soon as it has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _note(self, test: str, when: str, text: str | None) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            text = None if text is None else text[-WORDS:]
            note = {"test": test, "when": when, "text": text}
            file.write(json.dumps(note) + "\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._note(report.nodeid, report.when or "call", report.longreprtext)
        elif report.when == "call" and report.passed:
            self._note(report.nodeid, "call", None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._note(report.nodeid, "collect", report.longreprtext)


def _in_fork(call: Callable[[], int]) -> None:
    """Run a function as the only thing that this fork does, in silence."""
    status = 70
    try:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(silence, number)
        status = int(call())
    finally:
        os._exit(status)


def _ended(pid: int, limit: float) -> int | None:
    """Wait for a fork, and end its group after `limit` seconds; None: it was ended."""
    until = time.monotonic() + limit
    status: int | None = None
    while time.monotonic() < until:
        done, how = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(how)
            break
        time.sleep(LOOKS_EVERY)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if status is None:
        os.waitpid(pid, 0)
    return status if status is not None and status >= 0 else None
