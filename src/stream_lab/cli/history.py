"""`stream-lab history`: the regression runs so far."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stream_lab.cli.common import UsageError, write_page


def history(
    file: Annotated[Path, typer.Argument(help="The history's file.")] = Path("runs/history.sqlite"),
    most: Annotated[
        int, typer.Option(min=1, max=1000, help="How many runs to show, the newest.")
    ] = 20,
    html: Annotated[Path | None, typer.Option(help="Where to write the trend page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
) -> None:
    """Show the regression runs so far, and how claims, lateness and times went over them."""
    from stream_lab.regress.history import History
    from stream_lab.regress.show_history import as_table, as_text

    if not file.exists():
        raise UsageError(f"There is no history {file}; make regress writes one.")
    pasts = History(file).last(most)
    print(as_text(pasts)) if as_json else Console().print(as_table(pasts))
    if html is not None:
        from stream_lab.regress.trend import trend

        write_page(html, trend(pasts))
        Console(stderr=as_json).print(f"Page: {html}", highlight=False, soft_wrap=True)
