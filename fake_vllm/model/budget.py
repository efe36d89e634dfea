"""A bound on the work for one text, since the event loop waits for it."""

from typing import Any, Final

MOST: Final = 200_000
"""Characters of one text, with work that makes none; about 0.3 s."""
STEP: Final = 10
"""What each look at a schema or a rule costs, in characters; it takes so much longer."""


class TooMuchError(ValueError):
    """Raised when a text would be too long, or takes too much work."""

    def __init__(self) -> None:
        super().__init__(
            f"fake-vllm makes at most {MOST:,} characters for a schema, pattern or grammar, "
            "and does as much work; ask for fewer repetitions, shorter ones or simpler ones."
        )


class Budget:
    """What is left of the work for one text."""

    def __init__(self) -> None:
        self._left: float = MOST
        self.patterns: dict[str, Any] = {}
        """The patterns that are paid for, by their text."""

    def spend(self, characters: float = STEP) -> None:
        """Take from the budget.

        Raises:
            TooMuchError: it is used up.
        """
        self._left -= max(0, characters)  # a schema may have a negative number, or NaN
        if self._left < 0:
            raise TooMuchError
