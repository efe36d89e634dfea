"""Cells of the matrix, played together for the tests of a module."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stream_lab.matrix import Cell, Result, cells, play
from tests.plain_sleep import STOOD_STILL, PlainSleep

# Wide, since other tests run beside these: the question is whether it holds, not how fast this machine is.
WIDE: dict[str, Any] = {"deadline": 2.0, "lateness": 2.0}
JOBS = 32
FEW = 20  # cells; if more do not hold, it is not for the machine's sake

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

    A few that do not hold while a plain sleep is late as well are played once more, by themselves.
    """
    chosen = [
        item.callspec.params["cell"]  # type: ignore[attr-defined]
        for item in request.session.items
        if item.path == request.path
    ]
    with PlainSleep() as sleep:
        results = {
            result.cell: result for result in play(model, chosen, jobs=JOBS, **WIDE, **settings)
        }
    failed = [cell for cell, result in results.items() if not result.holds]
    if sleep.late > STOOD_STILL and 0 < len(failed) <= FEW:
        again = play(model, failed, jobs=2, **WIDE, **settings)
        results.update({result.cell: result for result in again})
    return results
