"""What several commands share: reading a deadline, a console, a file to write, and an end that waits for no thread."""

import math
import os
import sys
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from stream_lab.errors import LabError

SHORTEST = 0.5
"""Seconds; with a shorter deadline the notebooks' bands mean nothing."""
WIDTH = 140
"""Columns where the output is not a terminal, such as a log of CI."""


class UsageError(LabError):
    """Raised when a command's arguments cannot be used together, or name nothing."""


def wide_console(*, stderr: bool = False) -> Console:
    """Make a console as wide as the terminal, or 140 columns without one."""
    return Console(
        stderr=stderr, width=None if os.environ.get("COLUMNS") or os.isatty(1) else WIDTH
    )


def seconds(text: str) -> float:
    """Read a deadline.

    Raises:
        UsageError: it is not a number, or too short.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= SHORTEST):
        raise UsageError(
            f"TIMEOUT is '{text}', but it must be a number of seconds, {SHORTEST} or more; 2 is a good start."
        )
    return value


def write_page(file: Path, text: str) -> None:
    """Write a page that the reader asked for.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from None


def interrupted() -> int:
    """Say that Ctrl-C ended the command; returns the status that shells use for it."""
    Console(stderr=True).print("stream-lab: Interrupted.", highlight=False)
    return 130


def leave(status: int) -> NoReturn:
    """End the process without waiting for threads.

    A synchronous call that never ends keeps its thread, and such calls are what these commands play.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
