"""Collect what has arrived of an answer, and notice whether it is whole."""

from typing import Any, ClassVar, Protocol


class Accumulator(Protocol):
    """Sees every item of one stream, in order."""

    whole: bool
    """Whether the stream may end here."""
    errors_of_halves: ClassVar[tuple[type[Exception], ...]]
    """What a source raises when it takes half an answer for a whole one."""

    def add(self, item: Any) -> bool:
        """Take an item in, and return whether it says something or only fills a silence."""

    def partial(self) -> Any:
        """Return all items as one value; None if they do not add up."""


class NullAccumulator:
    """For streams of opaque items: each says something, and any end is good."""

    whole = True
    errors_of_halves: ClassVar[tuple[type[Exception], ...]] = ()

    def add(self, item: Any) -> bool:
        return True

    def partial(self) -> None:
        return None
