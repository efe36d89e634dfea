"""A process for each client, two fakes, and a record of what each case gave."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_vllm.testing import FakeVllm
from tests.clients.registry import HERE, ROOT, Case, Client

LINE = "@result "
ENDS_WITHIN = 90.0
"""Seconds after which a program that says nothing is ended; some take ten to import their client."""
FLAGS: Any = {
    "gap": 0.01,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
    # As vLLM does, the fake closes an idle connection after 5 s. A client that keeps connections
    # from case to case could just then use one.
    "keep_alive_seconds": 600,
}

Play = Callable[[Case, FakeVllm], dict[str, Any]]


class Program:
    """The process of a client.

    Attributes:
        versions: those of its packages.
    """

    def __init__(self, client: Client) -> None:
        self._errors = ROOT / client.environment / f"{Path(client.program).stem}.log"
        # The shell of the tests must not change how the client runs.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "OPENAI_", "ANTHROPIC_", "NODE_"))
            and not name.lower().endswith("_proxy")
        }
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                _command(client),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        self.versions: dict[str, str] = self._answer()

    def play(self, case: Case, fake: FakeVllm) -> dict[str, Any]:
        """Play a case, and return what the client gave."""
        given = {"base_url": fake.base_url, "model": fake.model, "kind": case.kind, "way": case.way}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout):
            if file is not None:
                file.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watchdog = threading.Timer(ENDS_WITHIN, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if line.startswith(LINE):
                    said: dict[str, Any] = json.loads(line.removeprefix(LINE))
                    return said
        finally:
            watchdog.cancel()
        text = self._errors.read_text(encoding="utf-8", errors="replace")
        raise AssertionError(f"The program of the client ended: {text[-2000:]}")


def _command(client: Client) -> list[str]:
    program = HERE / "programs" / client.program
    if program.suffix == ".py":
        return [str(ROOT / client.environment / "bin" / "python"), str(program)]
    # Node looks for packages beside the program.
    folder = ROOT / client.environment
    for file in (program.with_name("protocol.mjs"), program):
        (folder / file.name).write_bytes(file.read_bytes())
    return [str(ROOT / ".venv-clients" / "bin" / "node"), str(folder / program.name)]


class Record:
    """What each case gave, for the page."""

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}

    def note(self, client: Client, versions: dict[str, str]) -> None:
        ways = {
            name: {"note": way.note, "without": way.without, "cases": {}}
            for name, way in client.ways.items()
        }
        started = {"title": client.title, "versions": versions, "ways": ways}
        self.clients.setdefault(client.name, started)

    def result(self, case: Case, result: dict[str, Any]) -> None:
        """Note what the client gave; it holds only once its test has passed."""
        entry: dict[str, Any] = {"holds": False}
        if "error" in result:
            entry["error"] = result["error"]["name"]
        self._cases(case)[case.kind] = entry

    def passed(self, case: Case) -> None:
        self._cases(case)[case.kind]["holds"] = True

    def _cases(self, case: Case) -> dict[str, Any]:
        cases: dict[str, Any] = self.clients[case.client.name]["ways"][case.way]["cases"]
        return cases


RECORD = pytest.StashKey[Record]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--json", metavar="FILE", help="write what each case gave to this file")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--json") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--json needs all cases in one process; add -n 0.")
    config.stash[RECORD] = Record()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TEST_CLIENTS"):
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs real clients: run make clients"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    callspec = getattr(item, "callspec", None)
    if report.when == "call" and report.passed and callspec and "case" in callspec.params:
        item.config.stash[RECORD].passed(callspec.params["case"])
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if name := session.config.getoption("--json"):
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(session.config.stash[RECORD].clients, indent=1, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def play(pytestconfig: pytest.Config) -> Iterator[Play]:
    """Play a case in the process of its client, which starts when needed."""
    record, programs = pytestconfig.stash[RECORD], dict[str, Program]()

    def play(case: Case, fake: FakeVllm) -> dict[str, Any]:
        name = case.client.name
        if name not in programs:
            programs[name] = Program(case.client)
            record.note(case.client, programs[name].versions)
        try:
            result = programs[name].play(case, fake)
        except AssertionError:
            programs.pop(name).close()  # the next case starts another
            record.result(case, {"error": {"name": "the program ended"}})
            raise
        record.result(case, result)
        return result

    yield play
    for program in programs.values():
        program.close()


@pytest.fixture(scope="session")
def _fake() -> Iterator[FakeVllm]:
    with FakeVllm(**FLAGS) as fake:
        yield fake


@pytest.fixture(scope="session")
def _thinking_fake() -> Iterator[FakeVllm]:
    with FakeVllm(reasoning_parser="qwen3", **FLAGS) as fake:
        yield fake


@pytest.fixture
def fake(_fake: FakeVllm) -> FakeVllm:
    """A fake that calls tools, as it was started."""
    _fake.reset()
    return _fake


@pytest.fixture
def thinking_fake(_thinking_fake: FakeVllm) -> FakeVllm:
    """A fake that thinks before it answers, as it was started."""
    _thinking_fake.reset()
    return _thinking_fake
