"""The holes of notebooks 07 and 07b as cells, and what closes each."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_deadline._bounded import BoundedStream
from stream_deadline._reader import Reader
from stream_deadline._retry import Retrier
from stream_deadline._shutdown import _shut_down
from stream_lab.matrix.calls import QUESTION, Call, chain
from stream_lab.matrix.cells import Cell, Result, cells
from stream_lab.matrix.play import play
from stream_lab.matrix.servers import SERVERS

SLOW = 0.09
"""Seconds that the slow consumer takes for each chunk."""


async def _slowly(model: Any) -> Any:
    whole: Any = None
    async for part in chain(model, 2).astream(QUESTION):
        whole = part if whole is None else whole + part
        await asyncio.sleep(SLOW)
    return whole


BUFFERED = Cell(
    next(server for server in SERVERS if server.name == "bursts"),
    Call("a slow consumer", _slowly, True),
)
"""Chunks that are in memory before they are pulled.

The matrix's own slow consumer is faster than these bursts, so it waits now and then.
"""

_ROWS = {"endless", "stall", "keep-alive comments", "no first token", "no headers"}
_CALLERS = {"suspended", "suspended, chain", "breaks", "stream: suspended"}
_WAYS = ("astream", "chain.astream", "ainvoke", "stream")
SAMPLE = [
    cell
    for cell in cells()
    if cell.row.name in (_CALLERS if cell.column is None else _ROWS)
    and (cell.column is None or cell.column.name in _WAYS)
]
"""The cells of notebook 07b's picture: five servers, four ways to call, four callers."""


@dataclass(frozen=True)
class Hole:
    """A way past a deadline.

    Attributes:
        name: What happens, in a few words.
        cell: The cell that shows it.
        closed_by: The mechanism that closes it.
        where: The part of the library that has the mechanism.
        line: What the line of that part contains.
    """

    name: str
    cell: Cell
    closed_by: str
    where: Any
    line: str

    @property
    def in_the_library(self) -> str:
        """Return the line of the library that closes it, after its file's name."""
        lines, _ = inspect.getsourcelines(self.where)
        line = next(line.strip() for line in lines if self.line in line)
        return f"{Path(inspect.getsourcefile(self.where) or '').name}: {line}"


def _cell(name: str) -> Cell:
    return next(cell for cell in cells() if cell.name == name)


HOLES = [
    Hole(
        "1: silence",
        _cell("stall × chain.astream"),
        "a timer for the wait",
        Reader._arm,
        "call_at",
    ),
    Hole(
        "1: only comments",
        _cell("keep-alive comments × chain.astream"),
        "the same timer",
        Reader._arm,
        "call_at",
    ),
    Hole(
        "2: chunks without a wait",
        BUFFERED,
        "a look at the clock before each hand-over",
        BoundedStream.__anext__,
        "is_used_up",
    ),
    Hole(
        "3: a consumer that does not pull",
        _cell("suspended, chain"),
        "a reader of its own, which the timer stops",
        Reader._cut,
        "self._interrupt(True)",
    ),
    Hole(
        "4: a blocked thread",
        _cell("stall × stream"),
        "another thread, which shuts the socket down",
        _shut_down,
        "shutdown(connection",
    ),
    Hole(
        "5: retries, streamed",
        _cell("no headers × chain.astream"),
        "one deadline around all attempts",
        Retrier._wait_before_another,
        "self._budget.due",
    ),
    Hole(
        "5: retries, in one piece",
        _cell("no headers × ainvoke"),
        "the same, in `_agenerate` too",
        Retrier._wait_before_another,
        "self._budget.due",
    ),
]


def play_holes(models: Sequence[Callable[..., Any]], **settings: Any) -> dict[str, list[Result]]:
    """Play the cells of the holes for several classes, one class after the other.

    Args:
        models: The classes.
        settings: Further arguments of `play`.

    Returns:
        The results by the name of the class.
    """
    chosen = [hole.cell for hole in HOLES]
    return {model.__name__: list(play(model, chosen, **settings)) for model in models}


def held_only_by(name: str, played: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return the ways to call in which only this class holds some cell.

    Args:
        name: The name of the class.
        played: The results by the name of the class.
    """
    held = {
        (each, result.cell.column.name)
        for each, results in played.items()
        for result in results
        if result.cell.column is not None and result.holds
    }
    return [way for way in _WAYS if {each for each, of in held if of == way} == {name}]


class HoleTable:
    """The table: each hole, what closes it, and which class has that, by its cell."""

    def __init__(self, played: Mapping[str, Sequence[Result]]) -> None:
        """Make the table.

        Args:
            played: The results by the name of the class; each has at least the cells of `HOLES`.
        """
        self._names = list(played)
        self._holds = {
            (name, result.cell.name): result.holds
            for name, results in played.items()
            for result in results
        }

    def holds(self, name: str) -> list[str]:
        """Return the names of the holes that a class closes."""
        return [hole.name for hole in HOLES if self._holds[name, hole.cell.name]]

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {', '.join(self.holds(name)) or 'none'}" for name in self._names)

    def _repr_markdown_(self) -> str:
        heads = ["hole", "what closes it", *map(_short, self._names), "in the library"]
        rows = [heads, ["---"] * len(heads)]
        rows += [
            [
                hole.name,
                hole.closed_by,
                *("■" if self._holds[name, hole.cell.name] else "×" for name in self._names),
                f"`{hole.in_the_library}`",
            ]
            for hole in HOLES
        ]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _short(name: str) -> str:
    """Return what tells the name of an attempt from the others."""
    return name.removesuffix("ChatVllm") or name
