"""Runs on a Dask cluster: a real scheduler and two real workers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psutil
import pytest
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.notebooks.row import Status
from tests.stream_lab.notebooks.tiny_notebooks import BAD, GOOD, write
from tests.stream_lab.regress.runs import (
    command,
    configure,
    folders,
    gist,
    gone,
    rows,
    run,
    summary,
    until,
)

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed; pip install 'stream-lab[dask]'"
)


class Dask:
    """A scheduler and its workers, each a process; all end with the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self._processes = [
            self._start("scheduler", "--port=0", "--no-dashboard", "--host=127.0.0.1")
        ]
        until(self._address)  # the scheduler does not write its file in one step
        self.address = self._address()
        self.workers = [self._worker() for _ in range(2)]
        # On a busy machine a worker takes longer to come than the kit waits for one.
        with distributed.Client(self.address, timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)

    def _address(self) -> str:
        """Return the scheduler's address; empty while its file is not complete."""
        with suppress(OSError, ValueError):
            return str(json.loads(self._file.read_text(encoding="utf-8"))["address"])
        return ""

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._start(
            "worker",
            "--nthreads=1",
            "--no-nanny",
            "--no-dashboard",
            "--host=127.0.0.1",
            "--local-directory=.",
        )

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{what}.log").open("ab")
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{what}",
            f"--scheduler-file={self._file}",
            *options,
        ]
        return subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)

    def stop(self) -> None:
        for process in [*self.workers, *self._processes]:
            with suppress(psutil.NoSuchProcess):
                for member in [
                    *psutil.Process(process.pid).children(recursive=True),
                    psutil.Process(process.pid),
                ]:
                    with suppress(psutil.NoSuchProcess):
                        member.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    place = tmp_path / "dask"
    place.mkdir()
    cluster = Dask(place)
    try:
        yield cluster
    finally:
        cluster.stop()


WAITS = "import os, pathlib, time\n(pathlib.Path({folder!r}) / str(os.getpid())).touch()\nwhile not pathlib.Path({go!r}).exists(): time.sleep(0.1)\n"


@pytest.mark.timeout(180)
def test_a_killed_worker_loses_nothing_and_the_result_equals_a_local_one(
    dask: Dask, tmp_path: Path
) -> None:
    kernels, go = tmp_path / "kernels", tmp_path / "go"
    kernels.mkdir()
    for number, cell in (("01", GOOD), ("02", BAD), ("04", GOOD)):
        write(tmp_path / "notebooks", number, WAITS.format(folder=str(kernels), go=str(go)) + cell)
    configure(tmp_path)
    asked = [*command(tmp_path), "--scheduler", dask.address]
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: len(list(kernels.iterdir())) == 2)
    victim = dask.workers[0]
    family = psutil.Process(victim.pid).children(recursive=True)
    assert any(str(member.pid) in {path.name for path in kernels.iterdir()} for member in family), (
        "it runs a cell"
    )
    victim.kill()
    victim.wait()
    until(lambda: gone(family), within=15)
    go.touch()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1, out + err
    assert {number: row.status for number, row in rows(tmp_path).items()} == {
        "01": Status.PASS,
        "02": Status.FAIL,
        "04": Status.PASS,
    }
    assert "a Dask cluster, 2 at a time" in summary(tmp_path).where
    on_the_cluster = summary(tmp_path)
    assert run(tmp_path).returncode == 1
    assert gist(summary(tmp_path)) == gist(on_the_cluster)
    assert len(folders(tmp_path)) == 2


def test_cells_are_unknown_when_the_last_worker_is_gone(
    dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    write(
        tmp_path / "notebooks",
        "01",
        WAITS.format(folder=str(kernels), go=str(tmp_path / "never")) + GOOD,
    )
    configure(tmp_path)
    monkeypatch.setattr("stream_lab.notebooks.schedule.ALONE_FOR", 2.0)

    def kill_them() -> None:
        until(lambda: list(kernels.iterdir()))
        for worker in dask.workers:
            worker.kill()

    killer = Thread(target=kill_them)
    killer.start()
    done = CliRunner().invoke(app, [*command(tmp_path)[3:], "--scheduler", dask.address])
    killer.join()
    assert done.exit_code == 2, done.output
    assert rows(tmp_path)["01"].reason == "no worker was left to play it"
