"""An accumulator that tells numbers which say something from others."""

from typing import ClassVar


class Words:
    """An accumulator for numbers, of which only even ones say something."""

    errors_of_halves: ClassVar[tuple[type[Exception], ...]] = (ValueError,)

    def __init__(self, whole: bool = True) -> None:
        self.whole = whole
        self.added: list[int] = []

    def add(self, item: int) -> bool:
        self.added.append(item)
        return item % 2 == 0

    def partial(self) -> list[int]:
        return self.added
