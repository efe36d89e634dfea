"""The cells of the matrix, and the result of one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stream_lab.matrix.callers import CALLERS, Caller
from stream_lab.matrix.calls import CALLS, Call
from stream_lab.matrix.servers import SERVERS, Bound, Server


@dataclass(frozen=True)
class Cell:
    """A server and a call, or a server and a caller."""

    row: Server | Caller
    column: Call | None = None

    @property
    def name(self) -> str:
        return self.row.name if self.column is None else f"{self.row.name} × {self.column.name}"

    @property
    def is_async(self) -> bool:
        return (self.column or self.row).is_async  # type: ignore[union-attr]

    @property
    def makes_sense(self) -> bool:
        if not isinstance(self.row, Server) or self.column is None:
            return True
        return self.ends is not None and (
            self.row.calls is None or self.column.name in self.row.calls
        )

    def is_for(self, model: Callable[..., Any]) -> bool:
        """Tell whether a class has the parameters that the cell is about.

        A function that makes models is assumed to have them all.
        """
        fields = getattr(model, "model_fields", None)
        return (
            fields is None
            or not isinstance(self.row, Server)
            or self.row.parts.keys() <= fields.keys()
        )

    @property
    def ends(self) -> str | None:
        assert isinstance(self.row, Server)
        assert self.column is not None
        return self.row.streamed if self.column.streamed else self.row.whole

    @property
    def bound(self) -> Bound:
        """Return the time-out that ends the call, if one does."""
        assert isinstance(self.row, Server)
        assert self.column is not None
        return self.row.acts if self.column.streamed else "timeout"

    def due(self, deadline: float) -> float:
        """Return when that time-out is due, in seconds after the call began."""
        assert isinstance(self.row, Server)
        return self.row.due(self.bound, deadline)


@dataclass(frozen=True)
class Result:
    """The result of a cell.

    Attributes:
        cell: the cell.
        why: what did not hold, in words. Empty: everything held.
        late: seconds between the deadline and the time-out. None: there was no time-out.
    """

    cell: Cell
    why: str
    late: float | None = None

    @property
    def holds(self) -> bool:
        return not self.why


def cells(
    servers: Sequence[Server] = SERVERS,
    calls: Sequence[Call] = CALLS,
    callers: Sequence[Caller] = CALLERS,
) -> list[Cell]:
    """Return every cell that makes sense."""
    crossed = [Cell(server, call) for server in servers for call in calls]
    return [cell for cell in [*crossed, *map(Cell, callers)] if cell.makes_sense]
