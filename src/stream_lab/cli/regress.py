"""`stream-lab regress`: notebooks over endpoints and versions."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import WIDTH, screen
from stream_lab.cli.options import AsJson, NoColour, Only, select
from stream_lab.errors import Interrupted
from stream_lab.extras import require
from stream_lab.untrusted import json_line


def regress(
    config: Annotated[Path, typer.Option(help="What to run, as YAML; see docs/regress.md.")] = Path(
        "regress.yaml"
    ),
    against: Annotated[
        str, typer.Option(help="The baseline: last (good), a run's name, or a summary.json.")
    ] = "last",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the newest run, or with --run NAME; if that is finished, in a new run.",
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option("--run", help="The run's name; without it, the time.")
    ] = None,
    only: Only = "",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Notebooks at a time; without it, as configured."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask cluster, as tcp://host:8786.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Where to put it: a folder, or any fsspec URL; without it, as configured."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and run nothing.")
    ] = False,
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Run notebooks over endpoints × versions, and compare with the last good run.

    Exit status: 0 if all is as expected; 1 for a regression; 2 if the run could not tell, or the
    usage is wrong. `--only` selects cells by words of their names, as seed/04 or "04,05".
    """
    require("ipykernel", "matplotlib", "papermill", extra="lab")
    from stream_lab.notebooks.executor import Local
    from stream_lab.notebooks.progress import Display
    from stream_lab.regress import build_plan, execute, load, show, show_plan
    from stream_lab.regress.cluster import Cluster

    console = screen(as_json=as_json, no_colour=no_colour, width=WIDTH)
    chosen = load(config)
    changes = {"jobs": jobs, "outputs": out}
    chosen = chosen.model_copy(
        update={key: value for key, value in changes.items() if value is not None}
    )
    plan = build_plan(
        chosen,
        config.parent,
        against=against,
        resume=resume,
        name=name,
        select=partial(select, only=only, what="cell"),
    )
    if dry_run:
        show_plan(plan, console)
        return
    if plan.continues:
        console.print(
            f"The run {plan.continues} is finished and stays as it is; what is left to do becomes "
            f"the run {plan.name}.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    try:
        with (
            Local(chosen.jobs) if scheduler is None else Cluster(scheduler) as executor,
            Display(console) as display,
        ):
            summary = execute(plan, executor, display)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted; go on with: stream-lab regress --resume --run {plan.name}"
        ) from None
    if as_json:
        print(json_line(summary.as_dict()))
    else:
        show(summary, console)
        same = plan.earlier if summary.run != plan.name else None
        if same is not None:
            console.print(
                "Nothing ran: no cell has changed since. --against compares with another baseline.",
                highlight=False,
            )
        report = (same or plan.store).shown
        console.print(
            f"Report: {report}/report.html", highlight=False, markup=False, soft_wrap=True
        )
    raise typer.Exit(summary.exit_status)
