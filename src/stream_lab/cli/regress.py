"""`stream-lab regress`: notebooks over endpoints and versions."""

import json
from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import wide_console
from stream_lab.errors import Interrupted
from stream_lab.extras import require


def regress(
    config: Annotated[Path, typer.Option(help="What to run, as YAML; see docs/regress.md.")] = Path(
        "regress.yaml"
    ),
    against: Annotated[
        str,
        typer.Option(help="What to hold it against: last (good), a run's name, a summary.json."),
    ] = "last",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest run, or with --run NAME.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--run", help="The run's name; without it, the time.")
    ] = None,
    only: Annotated[str, typer.Option(help="Cells whose name contains this, as seed/04.")] = "",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Notebooks at a time; without it, as configured."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask cluster, as tcp://host:8786.")
    ] = None,
    outputs: Annotated[
        str | None, typer.Option(help="Where to put it: a folder, or any fsspec URL.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and run nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run notebooks over endpoints × versions. Exit status 0 if all is as expected, 1: a regression, 2: it could not be told."""
    require("ipykernel", "matplotlib", "papermill", extra="lab")
    from stream_lab.regress import build_plan, execute, load, show, show_plan, watching
    from stream_lab.regress.executors import Cluster, Local

    console = wide_console(stderr=as_json)
    try:
        chosen = load(config)
        changes = {"jobs": jobs, "outputs": outputs}
        chosen = chosen.model_copy(
            update={key: value for key, value in changes.items() if value is not None}
        )
        plan = build_plan(
            chosen, config.parent, against=against, resume=resume, name=name, only=only
        )
        if dry_run:
            show_plan(plan, console)
            return
        with (
            Local(chosen.jobs) if scheduler is None else Cluster(scheduler) as executor,
            watching(console) as watcher,
        ):
            summary = execute(plan, executor, watcher)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted; go on with: stream-lab regress --resume --run {plan.name}"
        ) from None
    if as_json:
        print(json.dumps(summary.as_dict(), ensure_ascii=False))
    else:
        show(summary, console)
        console.print(f"Report: {plan.store.address}/report.html", highlight=False, soft_wrap=True)
    raise typer.Exit(summary.exit_status)
