"""The soak on the console: a progress bar, and the result."""

import asyncio

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from stream_lab.soak.report import reasons, table, verdict, violations
from stream_lab.soak.result import Result
from stream_lab.soak.run import Settings, soak


def soak_with_progress(settings: Settings, console: Console) -> Result:
    """Soak with a progress bar; a step is a call."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    total = len(settings.only) or settings.calls
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("calls", total=total)
        return asyncio.run(
            soak(
                settings,
                ended=lambda: progress.advance(task),
                say=lambda words: progress.update(task, description=words),
            )
        )


def show(result: Result, console: Console) -> None:
    """Show the percentiles, the violations, and the verdict."""
    shown = Table("late, ms", "calls", "p50", "p95", "p99", "most", box=None)
    for row in table(result):
        shown.add_row(*row)
    console.print(shown, markup=False, highlight=False)
    console.print(reasons(result), markup=False, highlight=False, soft_wrap=True)
    for line in violations(result):
        console.print(f"✘ {line}", markup=False, highlight=False, soft_wrap=True)
    mark = "✘" if result.violations else "✔"
    console.print(f"{mark} {verdict(result)}", markup=False, highlight=False, soft_wrap=True)
