"""`stream-lab matrix`: every server behaviour against every way to call a model."""

import importlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import UsageError, interrupted, leave, screen, write_file
from stream_lab.cli.load_object import load
from stream_lab.cli.options import AsJson, NoColour, Only, select
from stream_lab.extras import require


def matrix(
    classes: Annotated[
        list[str] | None,
        typer.Argument(
            help="Classes like ChatOpenAI, as my_module:MyChat; without any, the story's four."
        ),
    ] = None,
    only: Only = "",
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Cells at a time.")] = 6,
    late_ms: Annotated[
        float,
        typer.Option(min=1, help="Milliseconds a call may be late; 50 on a quiet machine, 1 job."),
    ] = 250.0,
    timeout: Annotated[
        float, typer.Option(min=0.3, help="The deadline of each call, in seconds.")
    ] = 0.5,
    uvloop: Annotated[
        bool, typer.Option("--uvloop", help="On uvloop's event loops, not asyncio's.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="Where to draw it, as matrix.png.")] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Play nothing; use the results that --json wrote to this file."),
    ] = None,
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Play every server behaviour against every way to call a model.

    Exit status: 0 if every cell of the last class holds; 1 if one does not; 2 if a class cannot be
    loaded, or the usage is wrong. `--only` selects cells, as stall or "endless × astream".
    A long run is drawn later, or again, from the results that it wrote: `--json > results.json`,
    then `--results results.json --picture matrix.png`.
    """
    from stream_lab.matrix import report
    from stream_lab.matrix.cells import cells

    if results is not None and (classes or only):
        raise UsageError("--results has its own classes and cells; leave yours and --only out.")
    if picture is not None and not picture.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {picture.parent} to draw into.")
    console = screen(as_json=as_json, no_colour=no_colour)
    if results is not None:
        played = report.load_results(results)
    else:
        names = set(select((cell.name for cell in cells()), only, "cell"))
        models = report.named(classes or report.STORY, partial(load, example="my_module:MyChat"))
        if uvloop:
            require("uvloop", extra="lab")
        new_loop = importlib.import_module("uvloop").new_event_loop if uvloop else None
        try:
            played = report.play_all(
                models,
                [cell for cell in cells() if cell.name in names],
                console,
                jobs=jobs,
                lateness=late_ms / 1000,
                deadline=timeout,
                new_loop=new_loop,
            )
        except KeyboardInterrupt:
            leave(interrupted())
    if as_json:
        print(report.as_json(played))
    else:
        report.show(played, console)
    if picture is not None:
        from stream_lab.matrix.picture import heat_map

        write_file(picture, heat_map(played, title=report.finding(played)).png())
        console.print(f"Picture: {picture}", highlight=False, markup=False, soft_wrap=True)
    leave(0 if all(result.holds for result in list(played.values())[-1]) else 1)
