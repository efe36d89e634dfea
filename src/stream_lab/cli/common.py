"""Parts that commands share: consoles, pages, and an end that waits for no thread."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from stream_lab.errors import LabError

WIDTH = 140
"""Columns where the output is not a terminal, such as a log of CI."""


class UsageError(LabError):
    """Raised when a command's arguments cannot be used together, or name nothing."""


def screen(*, as_json: bool = False, no_colour: bool = False, width: int | None = None) -> Console:
    """Make the console for a command's words.

    Args:
        as_json: Whether standard output belongs to JSON; then the words go to standard error.
        no_colour: Whether to print without colours.
        width: Columns without a terminal; None: rich's own 80.
    """
    terminal = bool(os.environ.get("COLUMNS")) or os.isatty(2 if as_json else 1)
    return Console(stderr=as_json, no_color=no_colour or None, width=None if terminal else width)


def write_page(file: Path, text: str) -> None:
    """Write a page to a file.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from None


def interrupted() -> int:
    """Say that Ctrl-C ended the command, and return the status that shells use for it."""
    Console(stderr=True).print("stream-lab: Interrupted.", highlight=False)
    return 130


def leave(status: int) -> NoReturn:
    """End the process without waiting for threads.

    A synchronous call that never ends keeps its thread, and these commands play such calls.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
