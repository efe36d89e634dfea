"""`stream-lab soak`: many calls at once against a server that fails, judged one by one."""

import json
import re
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import UsageError, leave, screen
from stream_lab.cli.options import AsJson, NoColour
from stream_lab.extras import require

MOST_NAMED = 100_000
"""The most numbers that `--only` may name."""


class Loop(StrEnum):
    """The event loops of `--loop`."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


def soak(
    seconds: Annotated[
        float, typer.Option(min=1, help="Seconds after which no further round begins.")
    ] = 600.0,
    calls: Annotated[
        int | None, typer.Option(min=1, help="Calls to play; without it, as many as fit.")
    ] = None,
    seed: Annotated[
        str,
        typer.Option(help="Draws the calls; the same seed draws the same. Without it, a new one."),
    ] = "",
    only: Annotated[
        str, typer.Option(help="Play only the calls with these numbers, once: 123 or 3,7-12.")
    ] = "",
    tasks: Annotated[
        int, typer.Option(min=1, max=2000, help="Calls at a time in one event loop.")
    ] = 160,
    threads: Annotated[int, typer.Option(min=1, max=500, help="Calls at a time in threads.")] = 40,
    loop: Annotated[Loop, typer.Option(help="The event loop of all calls.")] = Loop.ASYNCIO,
    traced: Annotated[
        bool, typer.Option("--traced", help="Count Python's objects too; takes twice the time.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("runs"),
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Make calls of every style at once against a failing server, and judge each.

    Each call must end on time and in an allowed way, no chunk may come after its deadline, the
    server must be free, and nothing may be left. What breaks a rule is played again, alone first.

    Exit status: 0 if there is no violation; 1 if there is one; 2 if a server does not start, or the
    usage is wrong; 130 after Ctrl-C, with a report of what was played.
    """
    require("matplotlib", extra="lab")
    require("uvicorn", extra="relay")
    from stream_lab.soak import report
    from stream_lab.soak.console import show, soak_with_progress
    from stream_lab.soak.run import Settings

    console = screen(as_json=as_json, no_colour=no_colour)
    settings = Settings(
        seed=_seed(seed), seconds=seconds, calls=calls, only=numbers(only), tasks=tasks,
        threads=threads, loop=loop, traced=traced,
    )  # fmt: skip
    console.print(f"Seed: {settings.seed}", markup=False, highlight=False)
    result = soak_with_progress(settings, console)
    folder = report.write(result, out)
    if as_json:
        print(json.dumps(result.as_dict(), indent=1))
    else:
        show(result, console)
    console.print(f"Report: {folder}", markup=False, highlight=False, soft_wrap=True)
    leave(130 if result.interrupted else 1 if result.violations else 0)


def _seed(text: str) -> str:
    """Return the seed; it becomes a part of a command line.

    Raises:
        UsageError: it has other characters than letters and digits.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,40}", text):
        raise UsageError(f"The seed must be of letters and digits, 40 at most; got '{text}'.")
    return text or secrets.token_hex(4)


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of `--only`; none: all calls.

    Raises:
        UsageError: the text is not a list of numbers and ranges, or names too many.
    """
    found: set[int] = set()
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        if match is None or int(match[1]) < 1 or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--only takes numbers and ranges, such as 3,7-12; got '{part}'.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= MOST_NAMED or len(found) > MOST_NAMED:
            raise UsageError(f"--only names more than {MOST_NAMED} calls; use --calls.")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
