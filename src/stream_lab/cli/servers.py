"""`stream-lab servers`: whether cutting the client frees the server."""

import json

import typer

from stream_lab.cli.common import screen
from stream_lab.cli.options import AsJson, NoColour, Only, select
from stream_lab.errors import LabError


def servers(only: Only = "", as_json: AsJson = False, no_colour: NoColour = False) -> None:
    """Set up real servers, cut their clients, and time how long each server works on.

    Exit status: 0 if every server could be tried; 2 if one could not, or the usage is wrong.
    """
    from stream_lab.processes.backends import survey
    from stream_lab.processes.backends.release_table import Freed, table

    console = screen(as_json=True, no_colour=no_colour)  # the table is for pasting, so it is alone
    rows: list[Freed] = []
    failed = False
    try:
        for name in select(survey.SUBJECTS, only, "server"):
            try:
                rows.append(survey.row(name, console))
            except LabError as error:
                failed = True
                console.print(f"✘ {name}: {error}", highlight=False, markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("Interrupted; the rows of the servers before follow.")
        failed = True
    print(json.dumps([each.as_dict() for each in rows]) if as_json else table(rows))
    raise typer.Exit(2 if failed else 0)
