"""A bound on the work for one text, since the event loop waits for it."""

from typing import Final

MOST: Final = 200_000
"""Characters of one text, with the parts of a pattern that make none; about 0.3 s."""
STEP: Final = 10
"""What each look at a schema or a rule costs, in characters; it takes so much longer."""


class TooMuchError(ValueError):
    """Raised when a text would be too long, or takes too much work."""

    def __init__(self) -> None:
        super().__init__(
            f"fake-vllm makes at most {MOST:,} characters for a schema, pattern or grammar; "
            "ask for fewer repetitions, or shorter ones."
        )


class Budget:
    """What is left of the work for one text."""

    def __init__(self) -> None:
        self._left = MOST

    def spend(self, characters: int = STEP) -> None:
        """Take from the budget.

        Raises:
            TooMuchError: it is used up.
        """
        self._left -= characters
        if self._left < 0:
            raise TooMuchError
