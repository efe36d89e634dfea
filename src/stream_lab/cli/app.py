"""The program: its commands, its version, and the place where an error becomes a sentence."""

import os
import signal
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stream_lab import __version__
from stream_lab.cli.common import PlainConsole
from stream_lab.cli.doctor import doctor
from stream_lab.cli.evidence import evidence
from stream_lab.cli.frameworks import frameworks
from stream_lab.cli.history import history
from stream_lab.cli.lint import lint
from stream_lab.cli.matrix import matrix
from stream_lab.cli.new_relay import new_relay
from stream_lab.cli.options import Command
from stream_lab.cli.progress import progress
from stream_lab.cli.real_vllm import real_vllm
from stream_lab.cli.regress import regress
from stream_lab.cli.run import run
from stream_lab.cli.servers import servers
from stream_lab.cli.soak import soak
from stream_lab.errors import NO_ROOM, LabError
from stream_lab.extras import missing_extra


class Commands(TyperGroup):
    """The commands; a `LabError` of one ends the program with its text and status.

    So does a full disk, whichever file the command writes, its standard output among them.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                with suppress(BrokenPipeError):
                    sys.stdout.flush()
        except (LabError, ModuleNotFoundError, OSError) as raised:
            error = _error_of(raised)
            if error is None:
                raise
            PlainConsole(stderr=True, soft_wrap=True).print(
                f"stream-lab: {error}", highlight=False, markup=False
            )
            raise SystemExit(error.exit_status) from None


def _error_of(raised: Exception) -> LabError | None:
    """Return the error that a user can act on.

    Returns:
        None if it is a fault of the kit.
    """
    if isinstance(raised, ModuleNotFoundError):
        return missing_extra(raised)
    if isinstance(raised, OSError):
        if raised.errno not in NO_ROOM:
            return None
        place = raised.filename or "the output"
        # What is left in the buffer cannot be written either, and Python would try when it ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return LabError(f"Cannot write to {place}: {raised.strerror}; make room, and run it again.")
    return raised if isinstance(raised, LabError) else None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"stream-lab {__version__}")
        raise typer.Exit


@app.callback()
def stream_lab(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Why LLM streams outlive their time-outs, shown and measured."""


for command in (
    run,
    matrix,
    regress,
    history,
    evidence,
    doctor,
    lint,
    servers,
    frameworks,
    progress,
    soak,
):
    app.command(cls=Command)(command)
app.command("new-relay")(new_relay)
app.command("real-vllm")(real_vllm)


def main() -> None:
    """Run the command that the process was started with."""
    # A reader's own module may be in the current folder. Last, so that it hides no installed one.
    sys.path.append(os.getcwd())
    # SIGTERM acts as Ctrl-C does: the command stops all that it started on its way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="stream-lab")
