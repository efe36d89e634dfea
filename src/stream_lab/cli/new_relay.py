"""`stream-lab new-relay`: write the template of a server."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def new_relay(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to put it: an empty folder, or a new one.")
    ],
) -> None:
    """Write a relay between callers and a vLLM, as a project of its own.

    It is a FastAPI application with its tests, every bound, nginx and gunicorn. Exit status: 0 if
    it was written; 2 if it could not be, or the usage is wrong.
    """
    from stream_lab.relay.new import write

    files = write(folder)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{len(files)} files in {folder}; its README.md describes them. Go on with")
    python = shlex.quote(sys.executable)
    console.print(f"  cd {shlex.quote(str(folder))} && {python} -m pytest")
    console.print(f"  BASE_URL=http://gpu:8000/v1 MODEL=my-model {python} -m relay")
