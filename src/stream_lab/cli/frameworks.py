"""`stream-lab frameworks`: which framework stops a model that babbles."""

from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import UsageError, interrupted, leave, screen
from stream_lab.cli.options import AsJson, NoColour, Only, select
from stream_lab.extras import require


def frameworks(
    only: Only = "",
    record: Annotated[
        Path | None,
        typer.Option(help="A checkout whose evidence, page and picture are brought up to date."),
    ] = None,
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Play frameworks against a babbling server, with their own time-outs and with the library.

    Each framework gets an environment of its own in the cache: 2 GB, and a quarter of an hour the
    first time.

    Exit status: 0 if every cell with the library holds, or is known not to hold as it does; 1 if
    one does not; 2 if there is no Node.js or no network, or the usage is wrong.
    """
    require("matplotlib", extra="lab")
    from stream_lab.frameworks import console as shown
    from stream_lab.frameworks import page, report, results
    from stream_lab.frameworks.playing import Watch
    from stream_lab.frameworks.registry import registry

    if record is not None and not (record / "docs").is_dir():
        raise UsageError(f"{record} is not a checkout: it has no folder docs.")
    chosen = select(registry().frameworks, only, "framework")
    console = screen(as_json=as_json, no_colour=no_colour)
    watch = Watch()
    try:
        rows = shown.survey_all(chosen, watch, console)
    except KeyboardInterrupt:
        leave(interrupted())
    if record is not None:
        page.record(record, rows, watch)
    if as_json:
        print(results.as_json(rows, watch), end="")
    else:
        shown.show(rows, watch, console)
    wrong = report.complaints(rows, watch.timeout)
    for each in wrong:
        console.print(f"✘ {each}", highlight=False, markup=False, soft_wrap=True)
    leave(1 if wrong else 0)
