"""The history on a terminal, and as JSON."""

from collections.abc import Iterator

from rich.text import Text

from stream_lab.notebooks.row import Status, count_claims
from stream_lab.regress.console import VERDICT_COLOURS
from stream_lab.regress.history import Past
from stream_lab.untrusted import json_line

HEAD = ("run", "verdict", "cells", "claims", "time", "code")
RIGHT = ("cells", "claims", "time")
SHORT = 8
"""Letters of the code's digest; a commit is short already."""


def lines(pasts: list[Past]) -> Iterator[Text]:
    """Yield a heading and a line for each run, the newest last.

    A line is as long as its words and never cut; with the names that the kit gives it fits into 80
    columns. `cells` counts those that passed, `claims` those that held.
    """
    rows = [HEAD, *(_words(past) for past in pasts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for number, row in enumerate(rows):
        line = Text()
        for name, word, width in zip(HEAD, row, widths, strict=True):
            padded = word.rjust(width) if name in RIGHT else word.ljust(width)
            line.append(padded + "  ", _style(name, number, pasts))
        line.rstrip()
        yield line


def as_json_text(pasts: list[Past]) -> str:
    """Return the runs as JSON: each with its counts by status and its notebooks' seconds."""
    runs = [
        {
            "run": past.run,
            "started": past.started,
            "seconds": past.seconds,
            "verdict": past.verdict,
            "headline": past.headline,
            "against": past.against,
            "code": past.code,
            "commit": past.commit,
            "outputs": past.outputs,
            "statuses": {
                status: sum(row.status is status for row in past.rows) for status in Status
            },
            "cells": {
                row.cell: {"status": row.status, "seconds": row.seconds, "numbers": row.numbers}
                for row in past.rows
            },
        }
        for past in pasts
    ]
    return json_line(runs)


def _words(past: Past) -> tuple[str, ...]:
    held, claims = count_claims(past.rows)
    return (
        past.run,
        past.verdict,
        f"{sum(row.status is Status.PASS for row in past.rows)}/{len(past.rows)}",
        f"{held}/{claims}",
        f"{past.seconds:.0f} s",
        past.commit or past.code[:SHORT],
    )


def _style(name: str, number: int, pasts: list[Past]) -> str:
    if number == 0:
        return "bold"
    return VERDICT_COLOURS[pasts[number - 1].verdict] if name == "verdict" else ""
