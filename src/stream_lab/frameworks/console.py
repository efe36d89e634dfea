"""The survey on the console: a progress bar, and the table."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream_lab.frameworks.playing import Watch
from stream_lab.frameworks.registry import registry
from stream_lab.frameworks.report import NAMES, Rows, summary, table
from stream_lab.frameworks.survey import Row, survey


def survey_all(frameworks: Sequence[str], watch: Watch, console: Console) -> dict[str, Row]:
    """Play frameworks with a progress bar; an advance is one setting."""
    every = registry().frameworks
    total = sum(len(every[name].settings) for name in frameworks if not every[name].unplayable)
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("frameworks", total=total)

        def tell(words: str, settings: int) -> None:
            progress.update(task, advance=settings, description=words)

        return survey(frameworks, watch, tell)


def show(rows: Rows, watch: Watch, console: Console) -> None:
    """Show the table, and how many cells hold."""
    head, *lines = table(rows, watch.timeout)
    shown = Table(*head, box=None)
    for line in lines:
        shown.add_row(*line)
    console.print(shown, markup=False, highlight=False)
    for kind, (held, played) in summary(rows, watch.timeout).items():
        if played:
            console.print(f"{NAMES[kind]}: {held} of {played} cells hold", highlight=False)
