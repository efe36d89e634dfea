"""`stream-lab run`: the whole investigation."""

import time
from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import UsageError, seconds, wide_console
from stream_lab.errors import Interrupted
from stream_lab.extras import require


def run(
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible server, http://host:port/v1; without it, the bundled fake."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name; without it, the only one the server has.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(help="The deadline the notebooks work with, in seconds.")
    ] = "2.0",
    runs: Annotated[Path, typer.Option(help="Where to put this run's folder.")] = Path("runs"),
    notebooks: Annotated[Path, typer.Option(help="Where the notebooks are.")] = Path("notebooks"),
    only: Annotated[str | None, typer.Option(help="Run these notebooks only: 04,05.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="Notebooks at a time; 2 on the fake, 1 on your server."),
    ] = None,
) -> None:
    """Run the investigation: every notebook, one table of claims, one report. Exit status 0 if every claim came out as told."""
    require("ipykernel", "matplotlib", "papermill", extra="lab")
    from stream_lab.experiment.endpoint import open_endpoint
    from stream_lab.notebooks import report
    from stream_lab.notebooks.investigation import (
        Plan,
        Result,
        find_notebooks,
        investigate,
        make_run_folder,
    )
    from stream_lab.processes.programs import missing

    console = wide_console()
    deadline = seconds(timeout)
    started = time.monotonic()
    chosen = [
        path
        for path in find_notebooks(notebooks)
        if only is None or path.name[:2] in only.split(",")
    ]
    if not chosen:
        raise UsageError(f"--only {only} names none of the notebooks.")
    lacking = {path: why for path in chosen if (why := missing(path.name[:2]))}
    if only is not None and lacking:
        raise UsageError(next(iter(lacking.values())))
    chosen = [path for path in chosen if path not in lacking]
    folder = make_run_folder(runs)
    with open_endpoint(base_url, model) as server:
        kind = (
            "the bundled fake"
            if base_url is None
            else f"{'a fake' if server.is_fake else 'a real server'} at {server.base_url}"
        )
        notes = server.notes + [
            f"Notebook {path.name[:2]} was left out. {why}" for path, why in lacking.items()
        ]
        name = server.model
    parameters = {"BASE_URL": base_url, "MODEL": model, "TIMEOUT": deadline}
    plan = Plan(chosen, parameters, jobs or (2 if base_url is None else 1), folder)
    results: list[Result] = []
    interrupted = False
    try:
        results.extend(investigate(plan, console))
    except KeyboardInterrupt:
        interrupted = True
    summary = report.Summary(
        f"{kind}, model '{name}'", notes, deadline, time.monotonic() - started, interrupted, results
    )
    page = report.write(summary, folder)
    report.show(summary, console)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    if interrupted:
        raise Interrupted("Interrupted; what had run by then is kept in the report.")
    raise typer.Exit(0 if summary.as_told else 1)
