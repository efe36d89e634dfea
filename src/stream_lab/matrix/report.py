"""The matrix on the command line: load classes, play them, show the results."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream_lab.errors import LabError
from stream_lab.matrix.cells import Cell, Result
from stream_lab.matrix.cells import cells as all_cells
from stream_lab.matrix.play import leftovers_unheard, play
from stream_lab.untrusted import read_json

STORY = [
    "stream_lab.experiment.story:PlainChatVllm",
    "stream_lab.experiment.story:ScopedChatVllm",
    "stream_lab.experiment.story:ElapsedChatVllm",
    "stream_deadline:ChatVllm",
]
Played = Mapping[str, Sequence[Result]]


class ClassError(LabError):
    """Raised when a named object is not a class."""


class ResultsError(LabError):
    """Raised when a file does not have the matrix's results."""


def named(names: Sequence[str], load: Callable[[str], Any]) -> dict[str, Any]:
    """Return classes by their short names, or by their full names where short ones clash.

    Args:
        names: names like my_module:MyChat.
        load: returns the object behind a name.

    Raises:
        ClassError: an object cannot be called.
    """
    classes: dict[str, Any] = {}
    for name in names:
        attribute = name.partition(":")[2]
        found = load(name)
        if not callable(found):
            raise ClassError(f"'{name}' is not a class; name one as my_module:MyChat.")
        classes[attribute if attribute not in classes else name] = found
    return classes


def play_all(
    classes: Mapping[str, Any], cells: Sequence[Cell], console: Console, **settings: Any
) -> dict[str, list[Result]]:
    """Play the same cells for each class; results are in the cells' order.

    All classes but the last are played at once, since most of their cells only wait. The last class
    is the one that matters, and is played after them. A class has no results for cells about
    parameters that it does not have.
    """
    order = {cell: number for number, cell in enumerate(cells)}
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    stopped = threading.Event()
    *others, last = classes
    with (
        leftovers_unheard(),
        Progress(*columns, console=console, transient=True) as progress,
        ThreadPoolExecutor(len(classes)) as pool,
    ):

        def one(name: str) -> list[Result]:
            model, results = classes[name], []
            task = progress.add_task(name, total=sum(cell.is_for(model) for cell in cells))
            for result in play(model, cells, **settings):
                results.append(result)
                progress.advance(task)
                if stopped.is_set():
                    break
            return sorted(results, key=lambda each: order[each.cell])

        try:
            played = dict(zip(others, pool.map(one, others), strict=True))
            return {**played, last: one(last)}
        finally:
            stopped.set()


def show(played: Played, console: Console) -> None:
    """Show how many cells hold for each class, and how late the errors were.

    A list of the cells that did not hold for the last class follows.
    """
    table = Table("class", "cells that hold", "late, median", "late, 95 %", "latest", box=None)
    for name, results in played.items():
        late = sorted(result.late for result in results if result.late is not None)
        spread = (
            [f"{late[int(share * (len(late) - 1))] * 1000:.0f} ms" for share in (0.5, 0.95, 1.0)]
            if late
            else [""] * 3
        )
        table.add_row(name, f"{sum(result.holds for result in results)} of {len(results)}", *spread)
    console.print(table)
    most = max(map(len, played.values()))
    for name, results in played.items():
        if len(results) < most:
            console.print(
                f"{name} lacks the parameters that {most - len(results)} more cells are about.",
                highlight=False,
            )
    for result in list(played.values())[-1]:
        if not result.holds:
            console.print(
                f"✘ {result.cell.name}: {result.why}", highlight=False, markup=False, soft_wrap=True
            )


def finding(played: Played) -> str:
    """Return how many cells hold for the last class, and for the best other."""
    held = {
        name: (sum(result.holds for result in results), len(results))
        for name, results in played.items()
    }
    *others, last = held
    holds, count = held[last]
    found = f"{last}'s deadline holds in " + (
        f"all {count} cells" if holds == count else f"{holds} of {count} cells"
    )
    if not others:
        return found
    best = max(others, key=lambda name: held[name][0] / max(held[name][1], 1))
    which = ", the best of the others," if len(others) > 1 else ""
    return f"{found}; that of {best}{which} in {held[best][0]} of {held[best][1]}"


def as_json(played: Played) -> str:
    """Return `{class: [{"cell", "holds", "why", "late"}, …]}`, a line for each result.

    `late` is in seconds, to a tenth of a millisecond.
    """
    classes = []
    for name, results in played.items():
        rows = [
            {
                "cell": each.cell.name,
                "holds": each.holds,
                "why": each.why,
                "late": None if each.late is None else round(each.late, 4),
            }
            for each in results
        ]
        lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
        classes.append(f" {json.dumps(name, ensure_ascii=False)}: [\n  {lines}\n ]")
    return "{\n" + ",\n".join(classes) + "\n}"


def load_results(file: Path) -> dict[str, list[Result]]:
    """Return the results that `as_json` wrote.

    Raises:
        ResultsError: the file cannot be read, or has something else.
    """
    known = {cell.name: cell for cell in all_cells()}
    try:
        found = read_json(file.read_text(encoding="utf-8"))
        played = {
            str(name): [Result(known[row["cell"]], str(row["why"]), row["late"]) for row in rows]
            for name, rows in found.items()
        }
    except OSError as error:
        raise ResultsError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise ResultsError(
            f"{file} does not have the results of this version's cells; write it anew with "
            "stream-lab matrix --json."
        ) from None
    if not any(played.values()):
        raise ResultsError(f"{file} has no results; write it anew with stream-lab matrix --json.")
    return played
