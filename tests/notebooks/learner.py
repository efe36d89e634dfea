"""The learner edition as a test: one run shows each exercise untouched and solved."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from stream_lab.course.lesson import NOT_YET
from stream_lab.course.store import MARKER

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import editions  # noqa: E402

CELL_LIMIT = 60
LIMIT = 240
"""Seconds for a notebook; the capstone alone takes about 70, in which it mostly waits."""
DEADLINE = 1.0
"""Seconds; shorter than the reference's, so that the run is quicker and another one is tried."""


class LearnerFile(pytest.File):
    """The source of a notebook."""

    def collect(self) -> Iterator[pytest.Item]:
        edition = LearnerEdition.from_parent(self, name="learner")
        edition.add_marker(pytest.mark.timeout(LIMIT))
        yield edition


class LearnerEdition(pytest.Item):
    """A run of the learner edition in a copy of the course."""

    def runtest(self) -> None:
        chapters = editions.chapters()
        chapter = next(each for each in chapters if each.source == self.path)
        unsolved = editions.learner(chapter, chapters)
        contents = editions.contents(unsolved)
        notebook = editions.solved(unsolved, chapter.number)
        _set_deadline(notebook)
        folder = self.config._tmp_path_factory.mktemp("course")  # type: ignore[attr-defined]
        (folder / MARKER).mkdir()
        (folder / "notebooks").mkdir()
        NotebookClient(
            notebook,
            timeout=CELL_LIMIT,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder / "notebooks")}},
        ).execute(env={**os.environ, "PYTHONWARNINGS": "ignore"})
        problems = list(_problems(notebook))
        assert not problems, "\n".join(problems)
        assert len(contents.predictions) >= 2, "a notebook has two predictions or more"
        assert len(contents.exercises) >= 2, "a notebook has two exercises or more"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, (AssertionError, CellExecutionError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"learner edition of {self.path.stem}"


def _set_deadline(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += f"\nTIMEOUT = {DEADLINE}"


def _problems(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Yield what a reader would stumble over: an untouched check, or a solution that fails."""
    seen: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        said = "".join(output.get("text", "") for output in cell.outputs).strip()
        if any(output.get("name") == "stderr" for output in cell.outputs):
            yield f"stderr of {cell.source[:80]!r}: {said[:300]}"
        for number in editions.checks(cell):
            right = "✔ That is right." if number in seen else NOT_YET
            if said != right:
                state = "solved" if number in seen else "untouched"
                yield f"exercise {number}, {state}, says: {said}"
            seen.add(number)
