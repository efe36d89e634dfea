"""Programs that are forks of a process which has imported the slow packages."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import psutil
import pytest

from stream_lab.processes import warm
from stream_lab.processes.warm import WarmError, WarmProcess
from tests.conftest import wait

SLEEPS = "import time; time.sleep(60)"


@contextmanager
def program(folder: Path, text: str, *arguments: str, **more: object) -> Iterator[WarmProcess]:
    """Start a module with this text; let it end with its standard input."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    with TemporaryFile() as output, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = {"env": {**os.environ, "IT": "is set"}, "output": output, **more}
        started = WarmProcess("program", arguments, **options)  # type: ignore[arg-type]
        try:
            yield started
        finally:
            started.stdin.close()
            started.wait(10)


def said(folder: Path, text: str, *arguments: str, **more: object) -> tuple[int, list[str]]:
    """Return a program's status, and what it has printed."""
    with TemporaryFile() as output:
        with program(folder, text, *arguments, output=output, **more) as started:
            status = started.wait(10)
        output.seek(0)
        return status, output.read().decode().splitlines()


def test_it_is_the_module_as_python_would_run_it(tmp_path: Path) -> None:
    text = "import os, sys\nprint(__name__, sys.argv[1:], os.getcwd(), os.environ['IT'], os.getsid(0) == os.getpid(), sys.stdin.read())"
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        status, lines = said(folder, text, "one", "two words")
        assert (status, lines) == (0, [f"__main__ ['one', 'two words'] {folder} is set True "])


def test_the_slow_packages_are_there_before_its_first_line(tmp_path: Path) -> None:
    status, lines = said(tmp_path, f"import sys\nprint(set({warm.SLOW}) - set(sys.modules))")
    assert (status, lines) == (0, ["set()"])


@pytest.mark.parametrize(
    ("text", "status", "last"),
    [
        ("import sys; sys.exit(3)", 3, []),
        ("import sys; sys.exit('a reason')", 1, ["a reason"]),
        ("1 / 0", 1, ["ZeroDivisionError: division by zero"]),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, []),
        ("import atexit; atexit.register(print, 'the end')", 0, ["the end"]),
    ],
)
def test_its_end_is_as_that_of_any_program(
    text: str, status: int, last: list[str], tmp_path: Path
) -> None:
    ended, lines = said(tmp_path, text)
    assert (ended, lines[-1:]) == (status, last)


def test_it_inherits_sockets_by_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        text = "import socket, sys\nprint(socket.socket(fileno=int(sys.argv[1])).getsockname()[1])"
        number = str(listening.fileno())
        assert said(tmp_path, text, number, sockets=[listening]) == (
            0,
            [str(listening.getsockname()[1])],
        )


def test_it_can_be_waited_for_and_stopped(tmp_path: Path) -> None:
    with program(tmp_path, SLEEPS) as started:
        assert started.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            started.wait(0.05)
        started.terminate()
        assert started.wait(10) == -signal.SIGTERM
        assert started.poll() == -signal.SIGTERM
        started.terminate()


def test_it_and_its_children_end_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, time\nprint(os.getpid(), os.fork(), flush=True)\ntime.sleep(60)",
        encoding="utf-8",
    )
    log = tmp_path / "log"
    owner = f"from stream_lab.processes.warm import WarmProcess\nimport os, time\nstarted = WarmProcess('program', [], env=dict(os.environ), output=open({str(log)!r}, 'wb'))\ntime.sleep(60)"
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", owner], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        wait(lambda: log.exists() and log.read_text(encoding="utf-8").count("\n") == 2)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
        pids = {int(word) for word in log.read_text(encoding="utf-8").split()} - {0}
        assert len(pids) == 2
        process.kill()
    wait(lambda: not any(psutil.pid_exists(pid) for pid in pids), 10)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_another_process_takes_over_when_the_one_that_forks_has_died(tmp_path: Path) -> None:
    with program(tmp_path, SLEEPS) as first:
        forks = psutil.Process(first.pid).parent()
        assert forks is not None
        forks = forks.parent()
        assert forks is not None
        forks.kill()
        wait(lambda: not psutil.pid_exists(forks.pid) or forks.status() == psutil.STATUS_ZOMBIE, 10)
        another = tmp_path / "another"
        another.mkdir()
        assert said(another, "print('here')") == (0, ["here"])
        assert first.poll() is None, "a program outlives what it was forked from"


def test_a_process_that_cannot_start_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_channel", None)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(WarmError, match="No process could be forked for program"):
        said(tmp_path, SLEEPS)


def test_the_second_program_begins_at_once(tmp_path: Path) -> None:
    said(tmp_path, "")
    text = "import time, langchain_openai\nprint(time.process_time() < 0.5)"
    assert said(tmp_path, text) == (0, ["True"])
