"""The findings in code."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

NOT_READ: Final = "not-read"
"""Stands in for a rule's id where a path, file or cell could not be read; the rest was read."""


@dataclass(frozen=True, order=True)
class Finding:
    """A place in the code, what happens there, and the remedy.

    Attributes:
        path: the path as given, or a path below the folder that was given.
        cell: the code cell of a notebook, counted from 1 as a fresh run numbers them. None: the
            file is not a notebook, or the finding is about the whole notebook.
        line: the line, counted from 1, within the cell in a notebook. 0: the whole file.
        column: the column, counted from 1. 0: the whole line.
        rule: the id of the rule. `NOT_READ`: no rule applies, something could not be read.
        message: one sentence that says what happens.
        remedy: what to do about it. Empty for `NOT_READ`.
    """

    path: Path
    cell: int | None
    line: int
    column: int
    rule: str
    message: str
    remedy: str

    @property
    def location(self) -> str:
        """Return `app.py:12:5`, `story.ipynb:cell 3:2:1`, or the path alone."""
        parts = [str(self.path)]
        if self.cell is not None:
            parts.append(f"cell {self.cell}")
        parts += [str(number) for number in (self.line, self.column) if number]
        return ":".join(parts)

    @property
    def is_trap(self) -> bool:
        """Tell whether this is a trap, and not something that could not be read."""
        return self.rule != NOT_READ

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return asdict(self) | {"path": str(self.path)}
