"""`stream-lab progress`: how far a reader has come in the course."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from stream_lab.cli.common import screen
from stream_lab.cli.options import AsJson, NoColour


def progress(
    folder: Annotated[
        Path, typer.Argument(help="Your copy of the course, or the folder that it is in.")
    ] = Path(),
    tour: Annotated[
        str | None, typer.Option(help="Only the notebooks of a tour, as 30_minutes or on_call.")
    ] = None,
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Show what you predicted and solved in the course, and what is left.

    It is read from your copy of the course (`make learn`); nothing leaves this machine.

    Exit status: 0 if there is a copy of the course; 2 if there is none, or the usage is wrong.
    """
    from stream_lab.course.overview import overview

    lines = overview(folder, tour)
    if as_json:
        print(json.dumps([line.as_dict() for line in lines], ensure_ascii=False))
        return
    console = screen(no_colour=no_colour)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "notebook", "predicted", "true", "solved", "to solve"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(
            "✔" if not line.left else "",
            escape(f"{line.number} {line.title}"),
            f"{line.predicted} of {line.predictions}",
            str(line.right),
            f"{line.solved} of {len(line.exercises)}",
            escape(", ".join(line.unsolved)),
        )
    console.print(table)
    solved = sum(line.solved for line in lines)
    exercises = sum(len(line.exercises) for line in lines)
    predicted = sum(line.predicted for line in lines)
    right = sum(line.right for line in lines)
    console.print(
        f"\n{solved} of {exercises} exercises solved; {right} of {predicted} predictions came true.",
        highlight=False,
    )
