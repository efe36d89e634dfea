"""`stream-lab history`: the regression runs so far."""

from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import UsageError, screen, write_file
from stream_lab.cli.options import AsJson, NoColour


def history(
    file: Annotated[
        Path | None, typer.Argument(help="The history's file; without it, the configuration's.")
    ] = None,
    config: Annotated[
        Path, typer.Option(help="The configuration of the runs; its `history` names the file.")
    ] = Path("regress.yaml"),
    most: Annotated[
        int, typer.Option(min=1, max=1000, help="How many runs to show, the newest.")
    ] = 20,
    html: Annotated[Path | None, typer.Option(help="Where to write the trend page.")] = None,
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Show the regression runs so far, and how claims, lateness and times went.

    Exit status: 0 if the history can be read; 2 if there is none, or the usage is wrong.
    """
    from stream_lab.regress.config import Config, load
    from stream_lab.regress.history import History
    from stream_lab.regress.show_history import as_json_text, lines

    if file is None:
        # Without a configuration there is the default one, as for a folder that only has a history.
        known = load(config) if config.exists() or config != Path("regress.yaml") else Config()
        file = config.parent / known.history
    if not file.exists():
        raise UsageError(f"There is no history {file}; make regress writes one.")
    pasts = History(file).last(most)
    console = screen(as_json=as_json, no_colour=no_colour)
    if as_json:
        print(as_json_text(pasts))
    else:
        for line in lines(pasts):
            console.print(line, highlight=False, soft_wrap=True)
    if html is not None:
        from stream_lab.regress.trend import trend

        write_file(html, trend(pasts))
        console.print(f"Page: {html}", highlight=False, markup=False, soft_wrap=True)
