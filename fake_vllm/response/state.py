"""The states of a player, and the moves between them."""

from enum import Enum
from typing import Final


class IllegalMove(RuntimeError):
    """Raised when a player cannot move to a state; the text names both states."""


class State(Enum):
    """The state of a player; the value completes the sentence "The response …"."""

    NEW = "has not started"
    STEPPING = "is played step by step"
    FAST = "is on the fast path"
    OVER = "is over"

    def to(self, following: "State") -> "State":
        """Return the next state.

        Raises:
            IllegalMove: it cannot follow this one.
        """
        if following not in _MOVES[self]:
            raise IllegalMove(
                f"The response {self.value}; it cannot move from {self.name} to {following.name}."
            )
        return following


_MOVES: Final = {
    State.NEW: {State.STEPPING},
    State.STEPPING: {State.FAST, State.OVER},
    State.FAST: {State.STEPPING, State.OVER},
    State.OVER: set[State](),
}
