"""Cells of the matrix, played together for the tests of a module."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from stream_lab.matrix import Cell, Result, cells, play
from tests.plain_sleep import PlainSleep

# Wide, since other tests run beside these: the question is whether it holds, not how fast this machine is.
WIDE: dict[str, Any] = {"deadline": 2.0, "lateness": 2.0}
JOBS = 32
FEW = 60  # cells; if more do not hold, it is not for the machine's sake
AGAIN = 2  # tries of those by themselves

# Where the question is the loop or TLS: a call of each kind, and the servers and callers that a connection is about.
GROUPS = {"what the server does", "what the server does, pooled", "what the caller does"}
SOME = {"astream", "chain.astream", "ainvoke", "stream", "invoke"}


def by_name(cell: Cell) -> str:
    return cell.name


def of_some_calls() -> list[Cell]:
    return [
        cell
        for cell in cells()
        if cell.row.group in GROUPS and (cell.column is None or cell.column.name in SOME)
    ]


def played(
    request: pytest.FixtureRequest, model: Callable[..., Any], **settings: Any
) -> Mapping[Cell, Result]:
    """Play the cells of the selected tests of a module, and no others.

    A few that do not hold while the machine is busy are played again, by themselves. A cell that
    does not hold then, either, says whether the machine was busy that time, too.
    """
    chosen = [
        item.callspec.params["cell"]  # type: ignore[attr-defined]
        for item in request.session.items
        if item.path == request.path
    ]
    results: dict[Cell, Result] = {}
    left, jobs, busy = chosen, JOBS, ""
    for _ in range(1 + AGAIN):
        with PlainSleep() as sleep:
            results |= {
                each.cell: each for each in play(model, left, jobs=jobs, **WIDE, **settings)
            }
            busy = sleep.busy
        left, jobs = [cell for cell in chosen if not results[cell].holds], 2
        if not busy or not 0 < len(left) <= FEW:
            break
    if busy:
        results |= {
            cell: replace(results[cell], why=f"{results[cell].why}. {busy}") for cell in left
        }
    return results
