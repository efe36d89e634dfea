"""`stream-lab servers`: does cutting the client free the server?"""

import json
from typing import Annotated

import typer
from rich.console import Console

from stream_lab.cli.common import UsageError
from stream_lab.errors import LabError


def servers(
    only: Annotated[
        str, typer.Option(help="Servers whose name contains this, as vllm or litellm.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the rows as JSON, with every time in seconds.")
    ] = False,
) -> None:
    """Does cutting the client free the server? Real ones are set up, cut and timed. Exit status 0 if all could be."""
    from stream_lab.processes.backends.release_table import Freed, table
    from stream_lab.processes.backends.survey import names, row

    console = Console(stderr=True)
    if not names(only):
        raise UsageError(f"No server's name contains '{only}'; there are: {', '.join(names(''))}.")
    rows: list[Freed] = []
    failed = False
    try:
        for name in names(only):
            try:
                rows.append(row(name, console))
            except LabError as error:
                failed = True
                console.print(f"✘ {name}: {error}", highlight=False, markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("Interrupted; what follows is what had been seen by then.")
        failed = True
    print(json.dumps([each.as_dict() for each in rows]) if as_json else table(rows))
    raise typer.Exit(2 if failed else 0)
