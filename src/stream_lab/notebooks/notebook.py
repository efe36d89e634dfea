"""A notebook as a file: its text, title, parameters and code."""

import ast
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_lab.errors import LabError
from stream_lab.notebooks.row import number_of
from stream_lab.untrusted import one_line, read_json


class NotebookError(LabError):
    """Raised when a notebook cannot be run as it is; the text says why."""


@dataclass(frozen=True)
class Notebook:
    """A notebook as it was read.

    Attributes:
        name: The file's name without .ipynb.
        text: The file's text.
        parameters: Names that its cell tagged `parameters` assigns.
    """

    name: str
    text: str
    parameters: frozenset[str]

    @property
    def number(self) -> str:
        """The number in its name, as "04"."""
        return number_of(self.name)

    @property
    def title(self) -> str:
        """Its first heading, without the number; its name if it has no text."""
        for cell in self._cells:
            if cell["cell_type"] == "markdown":
                lines = "".join(cell["source"]).splitlines()
                first = lines[0].lstrip("# ") if lines else self.name
                return one_line((first.partition("·")[2] or first).strip().replace("`", ""))
        return self.name

    @property
    def digest(self) -> str:
        """Names the code, so that another output or sentence makes no new notebook."""
        code = [cell["source"] for cell in self._cells if cell["cell_type"] == "code"]
        return hashlib.sha256(json.dumps(code).encode()).hexdigest()

    @property
    def length(self) -> int:
        """How many cells a run of it has, with the one that papermill injects."""
        return len(self._cells) + 1

    @property
    def _cells(self) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = read_json(self.text)["cells"]
        return cells


def read_notebook(path: Path) -> Notebook:
    """Read a notebook that can be given parameters.

    Raises:
        NotebookError: The file is not a notebook, or has no cell tagged `parameters`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        cells = read_json(text)["cells"]
        for cell in cells:
            "".join(cell["source"])
            cell["cell_type"].isalpha()
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise NotebookError(f"{path.name} is not a notebook that can be read.") from None
    if not tagged:
        raise NotebookError(
            f"{path.name} has no cell tagged `parameters`, so its cells would overwrite what "
            "papermill injects; tag the cell that assigns them."
        )
    try:
        tree = ast.parse("".join(tagged[0]["source"]))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotebookError(f"The cell tagged `parameters` of {path.name} is not Python.") from None
    names = {
        target.id for node in tree.body for target in _targets(node) if isinstance(target, ast.Name)
    }
    return Notebook(path.stem, text, frozenset(names))


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []
