"""The history on a terminal, and as JSON."""

import json

from rich.markup import escape
from rich.table import Table

from stream_lab.regress.console import VERDICT_COLOURS
from stream_lab.regress.history import Past
from stream_lab.regress.row import Status


def as_table(pasts: list[Past]) -> Table:
    """A line for each run, the newest last."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in ("run", "verdict", "cells", "claims as told", "time", "code"):
        table.add_column(
            name,
            no_wrap=True,
            justify="right" if name in ("cells", "claims as told", "time") else "left",
        )
    for past in pasts:
        claims = [claim for row in past.rows for claim in row.claims]
        table.add_row(
            past.run,
            f"[{VERDICT_COLOURS[past.verdict]}]{past.verdict}[/]",
            f"{sum(row.status is Status.PASS for row in past.rows)}/{len(past.rows)}",
            f"{sum(claim.outcome == 'as told' for claim in claims)}/{len(claims)}",
            f"{past.seconds:.0f} s",
            escape(past.commit or past.code),
        )
    return table


def as_text(pasts: list[Past]) -> str:
    """The same for scripts: each run with its counts by status and its notebooks' seconds."""
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
    return json.dumps(runs, ensure_ascii=False)
