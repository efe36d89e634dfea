"""Interrupted runs lose no result, leave no process, and can be resumed."""

import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.notebooks.row import Status
from stream_lab.regress.history import History
from stream_lab.regress.summary import Summary
from tests.stream_lab.notebooks.tiny_notebooks import BAD, GOOD, write
from tests.stream_lab.regress.runs import (
    command,
    configure,
    folders,
    gist,
    gone,
    run,
    summary,
    until,
)

pytestmark = pytest.mark.usefixtures("kept_workers")

SLOW = "import pathlib, time\npathlib.Path({mark!r}).touch()\nwhile not pathlib.Path({go!r}).exists(): time.sleep(0.1)\n"


def three(folder: Path) -> tuple[Path, Path]:
    """Write three notebooks; the third makes `mark` and waits for `go`."""
    mark, go = folder / "mark", folder / "go"
    for number, cell in (("01", GOOD), ("02", BAD)):
        write(folder / "notebooks", number, cell)
    write(folder / "notebooks", "03", SLOW.format(mark=str(mark), go=str(go)) + GOOD)
    return mark, go


@pytest.fixture(scope="module")
def uninterrupted(kept_workers: None, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Return a run of the same notebooks that nothing has stopped."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    _, go = three(folder)
    go.touch()
    configure(folder)
    assert run(folder).returncode == 1
    return summary(folder)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_an_interrupted_run_goes_on_where_it_stopped(
    name: str, uninterrupted: Summary, tmp_path: Path
) -> None:
    mark, go = three(tmp_path)
    configure(tmp_path, jobs=1)
    process = subprocess.Popen(
        command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(mark.exists)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2, "a worker and its kernel"
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=30)
    assert process.returncode == (-9 if name == "SIGKILL" else 130)
    if name == "SIGINT":
        assert f"go on with: stream-lab regress --resume --run {folders(tmp_path)[0].name}" in err
    until(lambda: gone(family), within=15)
    kept = {path: path.stat().st_mtime_ns for path in folders(tmp_path)[0].glob("cells/**/*.json")}
    assert sorted(path.stem for path in kept) == ["01_test", "02_test"]
    go.touch()
    done = run(tmp_path, "--resume")
    assert done.returncode == 1
    assert "2 of 3 cells stand from before" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, (
        "the rows that were there did not run again"
    )
    assert len(folders(tmp_path)) == 1
    assert gist(summary(tmp_path)) == gist(uninterrupted), (
        "the result equals that of an uninterrupted run"
    )


def test_a_finished_run_is_never_rewritten_and_another_one_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, cell in (("01", GOOD), ("02", BAD), ("03", BAD)):
        write(tmp_path / "notebooks", number, cell)
    configure(tmp_path)
    assert run(tmp_path, "--run", "nightly").returncode == 1
    before = files(folders(tmp_path)[0])
    for number in ("02", "03"):
        write(tmp_path / "notebooks", number, GOOD)
    done = run(tmp_path, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "The run nightly is finished and stays as it is; what is left to do becomes the run nightly-02."
        in done.stdout
    )
    assert "1 of 3 cells stand from before" in done.stdout
    first, second = folders(tmp_path)
    assert files(first) == before
    found = summary(tmp_path)
    assert (found.run, found.continues, found.verdict) == ("nightly-02", "nightly", "as expected")
    assert {path.name for path in second.glob("notebooks/**/*.ipynb")} == {
        f"0{number}_test.ipynb" for number in (1, 2, 3)
    }, "the run has the notebooks of all its rows"
    assert "which continues nightly" in (second / "report.html").read_text(encoding="utf-8")
    assert "which continues `nightly`" in (second / "summary.md").read_text(encoding="utf-8")
    history = History(tmp_path / "runs" / "history.sqlite")
    assert {past.run: past.verdict for past in history.last()} == {
        "nightly": "regression",
        "nightly-02": "as expected",
    }

    monkeypatch.setattr(subprocess, "Popen", _never)
    for name, status in (("nightly-02", 0), ("nightly", 1)):
        write(tmp_path / "notebooks", "02", GOOD if status == 0 else BAD)
        write(tmp_path / "notebooks", "03", GOOD if status == 0 else BAD)
        done = run(tmp_path, "--resume", "--run", name)
        assert done.returncode == status, done.stdout
        assert "Nothing ran: no cell has changed since." in done.stdout
        assert f"{name}/report.html" in done.stdout
    assert folders(tmp_path) == [first, second], "without anything to do there is no further run"


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a process was started")


def test_a_cell_runs_again_if_its_notebook_changed_or_its_result_is_unknown(
    tmp_path: Path,
) -> None:
    for number in ("01", "02"):
        write(tmp_path / "notebooks", number, GOOD)
    configure(
        tmp_path,
        endpoints={"a": {}, "down": {"url": "http://127.0.0.1:9/v1"}},
        exclude=[{"endpoint": "down", "notebook": "02"}],
    )
    assert run(tmp_path).returncode == 2
    began = {row.cell: row.started for row in summary(tmp_path).rows}
    write(tmp_path / "notebooks", "02", GOOD, "'more'")
    time.sleep(1.1)  # `started` is in whole seconds
    done = run(tmp_path, "--resume")
    assert "1 of 3 cells stand from before" in done.stdout
    again = {row.cell: row.started for row in summary(tmp_path).rows}
    assert again["a/here/01_test"] == began["a/here/01_test"]
    assert again["a/here/02_test"] > began["a/here/02_test"]


def test_a_full_disk_is_one_sentence_and_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("01", "02"):
        write(tmp_path / "notebooks", number, GOOD)
    configure(tmp_path, jobs=1)
    original = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if "02_test" in str(self) or b"02 \xc2\xb7" in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        done = CliRunner().invoke(app, command(tmp_path)[3:])
    assert done.exit_code == 2
    assert "No space left on device; make room there, then go on with --resume." in done.stderr
    (folder,) = folders(tmp_path)
    row = json.loads((folder / "cells/bundled/here/01_test.json").read_text(encoding="utf-8"))
    assert row["status"] == Status.PASS
    done = CliRunner().invoke(app, [*command(tmp_path)[3:], "--resume"])
    assert done.exit_code == 0, done.output
    found: Summary = summary(tmp_path)
    assert [row.status for row in found.rows] == [Status.PASS, Status.PASS]
