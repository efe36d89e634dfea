"""The program: its version, its help, and errors as sentences."""

import ast
import errno
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import stream_lab
from stream_lab import extras
from stream_lab.cli import app
from stream_lab.errors import Interrupted, LabError

PACKAGE = Path(stream_lab.__file__).parent
COMMANDS = {
    "run",
    "matrix",
    "regress",
    "history",
    "evidence",
    "new-relay",
    "doctor",
    "lint",
    "real-vllm",
    "servers",
    "frameworks",
    "progress",
    "soak",
}


def test_it_is_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stream_lab", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"stream-lab \d+\.\d+\.\d+\n", done.stdout)


def test_each_command_has_its_file_and_its_help() -> None:
    assert set(get_command(app).commands) == COMMANDS  # type: ignore[attr-defined]
    for name in COMMANDS:
        assert (PACKAGE / "cli" / f"{name.replace('-', '_')}.py").is_file()
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("error", "status"), [(LabError("Mend it."), 2), (Interrupted("Go on."), 130)]
)
def test_an_error_is_one_sentence_and_a_status(
    error: LabError, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("stream_lab.relay.new.write", fails)
    done = CliRunner().invoke(app, ["new-relay", "there"])
    assert (done.exit_code, done.stderr) == (status, f"stream-lab: {error}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "arguments", [["--version"], ["lint", __file__], ["lint", __file__, "--format", "json"]]
)
def test_a_full_output_is_one_sentence_and_never_the_status_of_a_finding(
    arguments: list[str],
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stream_lab", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "stream-lab: Cannot write to the output: No space left on device; make room, and run it again.\n",
    )


def test_a_full_disk_is_one_sentence_whichever_file_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there/a.txt")

    monkeypatch.setattr("stream_lab.relay.new.write", fails)
    done = CliRunner().invoke(app, ["new-relay", "there"])
    assert (done.exit_code, done.stderr) == (
        2,
        "stream-lab: Cannot write to there/a.txt: No space left on device; make room, and run it again.\n",
    )


def test_every_error_of_the_kit_has_the_one_base() -> None:
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and (ast.get_docstring(node) or "").startswith("Raised when")
    }
    known = {"LabError"}
    while more := {name for name, above in bases.items() if above & known} - known:
        known |= more
    assert set(bases) <= known
    assert len(bases) > 12


@pytest.mark.parametrize("module", ["uvicorn", "playwright", "gunicorn", "fastapi", "distributed"])
def test_a_part_that_is_not_installed_is_one_sentence(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == module else find_spec(name)
    )
    extra = "dask" if module == "distributed" else "relay"
    with pytest.raises(
        extras.MissingExtra,
        match=rf"^{module} is not installed; pip install '[a-z-]+\[{extra}\]'\.$",
    ):
        extras.require(module, extra=extra)


def test_an_application_cannot_be_served_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name)
    )
    done = CliRunner().invoke(
        app, ["doctor", "http://127.0.0.1:9/x", "--app", "tests.stream_lab.streams:app"]
    )
    assert done.exit_code == 2
    assert done.stderr.startswith("stream-lab: uvicorn is not installed; pip install '")


def test_nothing_optional_is_imported_with_the_parts() -> None:
    code = "import sys, stream_lab.processes, stream_lab.relay, stream_lab.regress; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"playwright", "uvicorn", "fastapi", "distributed"} & set(done.stdout.split())
