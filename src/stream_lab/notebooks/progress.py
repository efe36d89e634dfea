"""Show a run on a terminal: the running notebooks, and a line for each result."""

from collections.abc import Collection, Mapping
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from stream_lab.notebooks.row import Row
from stream_lab.untrusted import printable

LONGEST = 160
"""The most letters of a reason on its line; the report has all of it."""


class Display:
    """The progress of a run, over the cells of its notebooks."""

    def __init__(self, console: Console) -> None:
        self._lengths: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("cells"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=None)

    def began(self, lengths: Mapping[str, int], standing: Collection[str] = ()) -> None:
        """Note what will run.

        Args:
            lengths: By name, how many cells the notebook has.
            standing: Names whose results an earlier session has left.
        """
        self._lengths = dict(lengths)
        # All names from the start: other threads change the values while this one adds them up.
        self._done = {name: length if name in standing else 0 for name, length in lengths.items()}
        self._progress.update(
            self._bar, total=sum(lengths.values()), completed=sum(self._done.values())
        )
        if standing:
            self._progress.console.print(
                f"{len(standing)} of {len(lengths)} cells stand from before.", highlight=False
            )

    def busy(self, what: str) -> None:
        """Name a step that is not a notebook."""
        self._progress.update(self._bar, description=escape(f"{what} …"))

    def running(self, names: list[str]) -> None:
        """Name the notebooks that run now."""
        self._progress.update(self._bar, description=escape(", ".join(names)))

    def cell(self, name: str, done: int) -> None:
        """Count the cells of a notebook that are done."""
        self._done[name] = done
        self._progress.update(self._bar, completed=sum(self._done.values()))

    def ended(self, row: Row) -> None:
        """Print the line of a result."""
        self.cell(row.cell, self._lengths.get(row.cell, 0))
        width = max(map(len, self._lengths), default=0)
        seconds = f"{row.seconds:6.1f} s" if row.seconds else " " * 8
        again = f"  (at attempt {len(row.earlier) + 1})" if row.earlier else ""
        mark = f"[{row.status.colour}]{row.status.mark}[/]"
        reason = escape(" ".join(row.reason.split())[:LONGEST])
        line = f"{mark} {escape(row.cell):<{width}} {seconds}  {reason}{again}"
        for text in filter(None, (line.rstrip(), escape(printable(row.ended_words, keep="")))):
            self._progress.console.print(text, highlight=False, soft_wrap=True)

    def __rich__(self) -> RenderableType:
        return self._progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
