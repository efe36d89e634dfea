"""Notebooks that fail, hang, die, or only look as if they did."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from stream_lab.notebooks.row import Status
from tests.stream_lab.notebooks.tiny_notebooks import (
    BAD,
    GOOD,
    LEAVES,
    MEANT,
    UNKNOWN,
    left_behind,
    write,
)
from tests.stream_lab.regress.runs import command, configure, folders, gone, rows, run, until

pytestmark = pytest.mark.usefixtures("kept_workers")

HANG = "from stream_lab.experiment.fake import Fake\nfake = Fake()\nimport time, pathlib\npathlib.Path({mark!r}).write_text(str(fake.pid))\ntime.sleep(60)"
Cells = str | tuple[str | tuple[str, str], ...]
WRONG: dict[str, tuple[Cells, Status, str]] = {
    "02": (BAD, Status.FAIL, "it holds: no, not yes"),
    "03": (UNKNOWN, Status.INFRA, "it holds: who knows, not yes"),
    "04": (
        'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="yes"); 1 / 0',
        Status.FAIL,
        "ZeroDivisionError",
    ),
    "05": (
        'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="yes")',
        Status.FAIL,
        "did not get to its table",
    ),
    "06": (
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        Status.INFRA,
        "its kernel died",
    ),
    "07": (
        "import asyncio; await asyncio.sleep(60)",
        Status.TIMEOUT,
        "a cell ran for more than 3 s",
    ),
    "08": (
        "from stream_lab import open_endpoint\nopen_endpoint('http://127.0.0.1:9/v1')",
        Status.INFRA,
        "EndpointError: No server answers at http://127.0.0.1:9/v1",
    ),
    "09": (
        "import sys, types\nsys.modules['openai'] = types.SimpleNamespace(__file__='/elsewhere/openai/__init__.py')\n"
        + GOOD,
        Status.INFRA,
        "it imported openai unknown instead of",
    ),
    "20": ("%no_such_magic", Status.FAIL, "UsageError: Line magic function `%no_such_magic`"),
    "21": (
        "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)\n1 / 0",
        Status.FAIL,
        "ZeroDivisionError: division by zero",
    ),
    "22": ("raise KeyboardInterrupt", Status.FAIL, "KeyboardInterrupt: it has no text"),
    "23": (
        "import os; os._exit(3)",
        Status.INFRA,
        "its kernel died: it ended itself with status 3",
    ),
    "24": (
        "import sys; sys.modules['fastapi'] = None\nimport fastapi",
        Status.SKIPPED,
        "fastapi is not installed; pip install 'stream-lab[relay]'.",
    ),
    "25": (
        "import fastapi.no_such_part",
        Status.FAIL,
        "ModuleNotFoundError: No module named 'fastapi.no_such_part'",
    ),
    "26": (
        (("%no_such_magic", MEANT), ("1 / 0", MEANT), "%%python\nraise SystemExit(4)"),
        Status.FAIL,
        "CalledProcessError: Command",
    ),
    "27": (
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL); os.wait()",
        Status.INFRA,
        "the process that executed it died: SIGKILL ended it",
    ),
    "28": ("class E(Exception):\n    __str__ = None\nraise E", Status.FAIL, "TypeError: "),
}
FORGED = """{"done": "complete", "error": "", "kind": "", "left": [], "seconds": 0.1}"""
ODD_BUT_GOOD = (
    f"import os, subprocess\nsubprocess.run(['echo', {FORGED!r}])\nos.system('echo forged >&2')",
    "os.write(1, b'not JSON\\n')",
    ("1 / 0", MEANT),
    ("%no_such_magic", MEANT),
    ("'a cell that may fail, and does not'", MEANT),
    "import sys\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    get_ipython().showtraceback()",
)


def test_failures_are_told_apart_and_the_other_cells_run(tmp_path: Path) -> None:
    mark = f"6{os.getpid()}.25"
    write(tmp_path / "notebooks", "01", *ODD_BUT_GOOD, LEAVES.replace("{mark}", mark), GOOD)
    for number, (cells, _, _) in WRONG.items():
        write(tmp_path / "notebooks", number, *([cells] if isinstance(cells, str) else cells))
    configure(tmp_path, limits={"cell": 3.0})
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    found = rows(tmp_path)
    good = found.pop("01")
    assert (good.status, good.reason, len(good.claims)) == (Status.PASS, "", 1)
    assert good.left_behind == [f"sleep {mark}"] * 2
    assert f"Processes that it left running were ended: sleep {mark}; sleep {mark}." in done.stdout
    assert left_behind(mark) == []
    executed = folders(tmp_path)[-1] / "notebooks/bundled/here/01_test.ipynb"
    text = executed.read_text(encoding="utf-8")
    assert "not JSON" in text, "what children print is in the notebook"
    assert "papermill-error-cell" not in text, "papermill points to no error that was meant"
    magic = folders(tmp_path)[-1] / "notebooks/bundled/here/20_test.ipynb"
    assert '"ename": "UsageError"' in magic.read_text(encoding="utf-8")
    assert {number: row.status for number, row in found.items()} == {
        number: status for number, (_, status, _) in WRONG.items()
    }
    for number, (_, _, why) in WRONG.items():
        assert why in found[number].reason
        assert why[:20] in done.stdout
    assert found["07"].seconds < 40
    assert "Regressions" in done.stdout
    assert "it holds: no (was yes)" in done.stdout


def test_the_limit_on_a_notebook_kills_its_kernel_and_all_that_it_started(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark"
    sleeps = f"6{os.getpid()}.75"
    hang = HANG.replace("{mark!r}", repr(str(mark)))
    write(tmp_path / "notebooks", "01", LEAVES.replace("{mark}", sleeps) + hang)
    configure(tmp_path, limits={"notebook": 9.0})
    process = subprocess.Popen(
        command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(mark.exists)
    family = psutil.Process(process.pid).children(recursive=True)
    pids = [member.pid for member in family]
    assert {int(mark.read_text()), *left_behind(sleeps)} <= set(pids), "also one without a parent"
    assert len(left_behind(sleeps)) == 2
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert rows(tmp_path)["01"].status is Status.TIMEOUT
    assert rows(tmp_path)["01"].reason == "the notebook ran for more than 9 s and was stopped"
    assert rows(tmp_path)["01"].left_behind.count(f"sleep {sleeps}") == 2
    until(lambda: gone(family), within=10)
