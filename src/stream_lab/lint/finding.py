"""What the doctor finds in code."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

NOT_READ: Final = "not-read"
"""In place of a rule's id: a path, file or cell that could not be read; everything else was."""


@dataclass(frozen=True, order=True)
class Finding:
    """One place, what happens there and what to do.

    Attributes:
        path: as it was given, or below the folder that was given.
        cell: in a notebook, the code cell, counted from 1 as a fresh run numbers them; None: not a notebook, or the notebook as a whole.
        line: from 1, in a notebook within the cell; 0: the file as a whole.
        column: from 1; 0: the line as a whole.
        rule: which one speaks; `NOT_READ`: none, something could not be read.
        message: one sentence, what happens.
        remedy: what to do; empty for `NOT_READ`.
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
        """`app.py:12:5`, `story.ipynb:cell 3:2:1`, or the path alone."""
        parts = [str(self.path)]
        if self.cell is not None:
            parts.append(f"cell {self.cell}")
        parts += [str(number) for number in (self.line, self.column) if number]
        return ":".join(parts)

    @property
    def is_trap(self) -> bool:
        """Whether it is about what the code does; otherwise something could not be read."""
        return self.rule != NOT_READ

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"path": str(self.path)}
