"""The soak on the console: a progress bar, and the result."""

import asyncio
from collections.abc import Callable
from typing import cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from stream_lab.extras import require
from stream_lab.soak.report import COLUMNS, reasons, table, verdict, violations
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
        with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as runner:
            return runner.run(
                soak(
                    settings,
                    ended=lambda: progress.advance(task),
                    say=lambda words: progress.update(task, description=words),
                )
            )


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop of all calls. None: Python does.

    Args:
        name: "asyncio" or "uvloop".

    Raises:
        MissingExtra: uvloop is not installed.
    """
    if name == "asyncio":
        return None
    require("uvloop", extra="relay")
    import uvloop

    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


def show(result: Result, console: Console) -> None:
    """Show the percentiles, the violations, and the verdict."""
    shown = Table(*COLUMNS, box=None)
    for row in table(result):
        shown.add_row(*row)
    console.print(shown, markup=False, highlight=False)
    console.print(reasons(result), markup=False, highlight=False, soft_wrap=True)
    for line in violations(result):
        console.print(f"✘ {line}", markup=False, highlight=False, soft_wrap=True)
    mark = "✘" if result.violations else "✔"
    console.print(f"{mark} {verdict(result)}", markup=False, highlight=False, soft_wrap=True)
