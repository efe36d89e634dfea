"""Cells of the matrix, played many at a time for the tests of a module, of which each asserts its own."""

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import pytest

from stream_lab.matrix import Cell, Result, cells, play

# Wide, since other tests run beside these: the question is whether it holds, not how fast this machine is.
WIDE: dict[str, Any] = {"deadline": 2.0, "lateness": 2.0}
JOBS = 32
STOOD_STILL = 0.4  # seconds that a plain sleep was late
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
    """Play the cells that the selected tests of a module ask for, so that `-k` plays no others.

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


class PlainSleep:
    """Sleeps in a thread of its own, a little at a time, and notes how late it wakes up.

    Attributes:
        late: seconds that it has been late, at most.
    """

    def __init__(self) -> None:
        self.late = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            due = time.monotonic() + 0.01
            time.sleep(0.01)
            self.late = max(self.late, time.monotonic() - due)
