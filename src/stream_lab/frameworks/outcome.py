"""What happened in one cell, before any verdict."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What a player and its server saw of one call.

    Times are seconds since the call began.

    Attributes:
        ended: when the caller's call ended. None: it was still running when the watch ended.
        chain: the classes of the exception and its causes. Empty: the call ended without an error,
            or is running.
        ours: whether a `StreamDeadlineExceeded` is among them.
        chunks: what the caller received.
        requests: how many generations were started.
        freed: when the server was free of all of them. None: it was still busy.
        unplayed: why the cell could not be played. Empty: it was.
        late_before: how late an earlier try was that a busy machine may have spoilt; None: none.
    """

    ended: float | None = None
    chain: tuple[str, ...] = ()
    ours: bool = False
    chunks: int = 0
    requests: int = 0
    freed: float | None = None
    unplayed: str = ""
    late_before: float | None = None

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Outcome":
        return cls(**{**given, "chain": tuple(given.get("chain", ()))})

    def as_json(self) -> dict[str, Any]:
        """Return the fields that say something."""
        unsaid = asdict(Outcome())
        said = {name: value for name, value in asdict(self).items() if value != unsaid[name]}
        return {**said, **({"chain": list(self.chain)} if self.chain else {})}
