"""Regression runs for tests: a configuration, a process, and its files."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from stream_lab.notebooks.row import Row
from stream_lab.regress.summary import Summary, parse
from tests.stream_lab.in_process import invoke

PYTHON = [sys.executable, "-m", "stream_lab"]


def configure(folder: Path, **body: Any) -> Path:
    """Write a regress.yaml: by default this environment, the bundled fake, no retries."""
    file = folder / "regress.yaml"
    file.write_text(yaml.safe_dump({"retries": 0, **body}), encoding="utf-8")
    return file


def command(folder: Path, *arguments: str) -> list[str]:
    return [*PYTHON, "regress", "--config", str(folder / "regress.yaml"), *arguments]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a regression run to its end, in this process."""
    return invoke(command(folder, *arguments)[len(PYTHON) :])


def run_process(
    folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a regression run to its end, in a process with these environment variables."""
    return subprocess.run(
        command(folder, *arguments),
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, **variables},
        check=False,
    )


def folders(folder: Path) -> list[Path]:
    """Return the folders of the runs, oldest first."""
    return sorted(path for path in (folder / "runs" / "regress").glob("*") if path.is_dir())


def summary(folder: Path) -> Summary:
    """Return the summary of the newest run."""
    return parse((folders(folder)[-1] / "summary.json").read_text(encoding="utf-8"))


def rows(folder: Path) -> dict[str, Row]:
    """Return the rows of the newest run, by the notebook's number."""
    return {row.notebook[:2]: row for row in summary(folder).rows}


def gist(found: Summary) -> list[Any]:
    """Return the part of a run that depends on neither machine nor time."""
    return [
        (row.cell, row.status, row.reason, [vars(claim) for claim in row.claims], row.imported)
        for row in found.rows
    ]


def until(true: Callable[[], object], within: float = 60.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def gone(processes: list[psutil.Process]) -> bool:
    """Return whether none of the processes runs any more."""
    return not [
        process
        for process in processes
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


def everything(folder: Path) -> str:
    """Return the text of every file below a folder."""
    return "\n".join(
        path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()
    )


def as_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(done.stdout)
    return body
