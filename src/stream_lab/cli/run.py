"""`stream-lab run`: the whole investigation."""

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import WIDTH, UsageError, screen
from stream_lab.cli.options import (
    AsJson,
    BaseUrl,
    Model,
    NoColour,
    Only,
    check_model,
    seconds,
    select,
)
from stream_lab.errors import Interrupted
from stream_lab.extras import require
from stream_lab.untrusted import json_line, one_line


def run(
    base_url: BaseUrl = None,
    model: Model = None,
    timeout: Annotated[
        str, typer.Option(help="The deadline the notebooks work with, in seconds.")
    ] = "2.0",
    out: Annotated[Path, typer.Option(help="Where to put this run's folder.")] = Path("runs"),
    notebooks: Annotated[Path, typer.Option(help="Where the notebooks are.")] = Path("notebooks"),
    only: Only = "",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="Notebooks at a time on the fake; your server gets one."),
    ] = None,
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Run the investigation: every notebook, one table of claims, one report.

    Exit status: 0 if every claim held; 1 if one did not, was not shown, or a notebook did not run
    to its end; 2 if nothing could be run, the results cannot be written, or the usage is wrong. A
    notebook whose programs are not installed is not run, and does not count.
    """
    require("ipykernel", "matplotlib", "papermill", extra="lab")
    from stream_lab.experiment.endpoint import open_endpoint
    from stream_lab.notebooks import report
    from stream_lab.notebooks.executor import Local
    from stream_lab.notebooks.folder import FolderError, RunFolder
    from stream_lab.notebooks.investigation import find_notebooks, tasks_of
    from stream_lab.notebooks.progress import Display
    from stream_lab.notebooks.schedule import run_all
    from stream_lab.notebooks.task import Server, one_at_a_time
    from stream_lab.processes.programs import missing

    console = screen(as_json=as_json, no_colour=no_colour, width=WIDTH)
    deadline = seconds(timeout)
    check_model(base_url, model)
    started = time.monotonic()
    every = find_notebooks(notebooks)
    names = select((notebook.name for notebook in every), only, "notebook")
    chosen = [notebook for notebook in every if notebook.name in names]
    lacking = [missing(notebook.number) for notebook in chosen]
    if all(lacking):
        raise UsageError(lacking[0])
    folder = RunFolder(out)
    with open_endpoint(base_url, model) as server:
        fake = "a fake" if server.is_fake else "a real server"
        kind = "the bundled fake" if base_url is None else f"{fake} at {server.base_url}"
        name = one_line(server.hide(server.model))
        words, notes = f"{kind}, model '{name}'", server.notes
    at_a_time = (jobs or 3) if base_url is None else 1
    if jobs is not None and jobs > at_a_time:
        notes.append(f"The server gets {one_at_a_time(jobs)}.")
    tasks = tasks_of(chosen, notebooks, Server(base_url, model), deadline, at_a_time)
    rows = {task.row.cell: task.row for task in tasks}
    stopped: KeyboardInterrupt | FolderError | None = None
    try:
        with (
            Local(at_a_time) as executor,
            Display(console) as display,
            closing(run_all(tasks, executor, display)) as results,
        ):
            display.began({notebook.name: notebook.length for notebook in chosen})
            for result in results:
                rows[result.row.cell] = result.row
                folder.keep(result)
                display.ended(result.row)
    except (KeyboardInterrupt, FolderError) as error:
        stopped = error
    summary = report.Summary(
        words, notes, deadline, time.monotonic() - started, stopped is not None, list(rows.values())
    )
    if as_json:
        print(json_line(summary.as_dict()))
    else:
        report.show(summary, console)
    if isinstance(stopped, FolderError):
        raise stopped
    page = report.write(summary, folder)
    console.print(f"Report: {page}", highlight=False, markup=False, soft_wrap=True)
    if stopped is not None:
        raise Interrupted("Interrupted; what had run by then is kept in the report.")
    raise typer.Exit(0 if summary.as_told else 1)
