"""The folder of a run, and files that appear whole or not at all."""

import uuid
from datetime import datetime
from pathlib import Path

from stream_lab.errors import NO_ROOM, LabError
from stream_lab.notebooks.task import CellResult


class FolderError(LabError):
    """Raised when a run cannot write its results; the text says what to do."""


class RunFolder:
    """The folder of one run, named by the time: executed notebooks, evidence and the report."""

    def __init__(self, runs: Path) -> None:
        """Make the folder.

        Args:
            runs: The folder that holds the runs.

        Raises:
            FolderError: The folder cannot be made.
        """
        now = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
        try:
            runs.mkdir(parents=True, exist_ok=True)
            self.path = _new(runs, now)
            for name in ("notebooks", "evidence"):
                (self.path / name).mkdir()
        except OSError as error:
            raise _cannot(runs, error) from None

    def write(self, name: str, text: str) -> Path:
        """Write a file and return its path.

        Raises:
            FolderError: There is no room, or no permission.
        """
        try:
            write_whole(self.path / name, text.encode())
        except OSError as error:
            raise _cannot(self.path, error) from None
        return self.path / name

    def keep(self, result: CellResult) -> None:
        """Write the executed notebook and its evidence.

        Raises:
            FolderError: There is no room, or no permission.
        """
        name = result.row.notebook
        if result.notebook:
            self.write(f"notebooks/{name}.ipynb", result.notebook)
        if result.evidence:
            self.write(f"evidence/{result.row.number}.json", result.evidence)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, or replace it; a reader never sees half of it.

    Raises:
        OSError: The file cannot be written; an earlier one of this name stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _cannot(folder: Path, error: OSError) -> FolderError:
    hint = "make room there, or " if error.errno in NO_ROOM else ""
    return FolderError(
        f"Cannot write to {folder}: {error.strerror}; {hint}name another folder with --out "
        "(make run RUNS=…)."
    )


def _new(runs: Path, name: str) -> Path:
    """Make a folder of this name, or of the next that is free."""
    number = 1
    while True:
        path = runs / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path
