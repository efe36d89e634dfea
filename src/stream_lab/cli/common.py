"""Parts that commands share: consoles, pages, and an end that waits for no thread."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from stream_lab.errors import LabError
from stream_lab.untrusted import printable

WIDTH = 140
"""Columns where the output is not a terminal, such as a log of CI."""


class UsageError(LabError):
    """Raised when a command's arguments cannot be used together, or name nothing."""


class PlainConsole(Console):
    """A console on which text cannot control the terminal: rich's own controls pass, others not.

    A model's name, an error of a server or a name in a file may hold escape sequences.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def screen(*, as_json: bool = False, no_colour: bool = False, width: int | None = None) -> Console:
    """Make the console for a command's words.

    Args:
        as_json: Whether standard output belongs to JSON; then the words go to standard error.
        no_colour: Whether to print without colours.
        width: Columns without a terminal; None: rich's own 80.
    """
    terminal = bool(os.environ.get("COLUMNS")) or os.isatty(2 if as_json else 1)
    more: dict[str, Any] = {"no_color": no_colour or None, "width": None if terminal else width}
    return PlainConsole(stderr=as_json, **more)


def write_file(file: Path, content: str | bytes) -> None:
    """Write a page or a picture to a file.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from None


def interrupted() -> int:
    """Say that Ctrl-C ended the command, and return the status that shells use for it."""
    PlainConsole(stderr=True).print("stream-lab: Interrupted.", highlight=False)
    return 130


def leave(status: int) -> NoReturn:
    """End the process without waiting for threads.

    A synchronous call that never ends keeps its thread, and these commands play such calls.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
