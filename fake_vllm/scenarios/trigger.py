"""When a scenario applies: always, on some attempts or requests, or by seeded chance."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Self

KEYS = ("attempts", "requests", "chance")
FOREVER = 2**63


@dataclass(frozen=True)
class Numbers:
    """The numbers from `first` to `last`, written as `3`, `2-4` or `3-`."""

    first: int = 1
    last: int = FOREVER

    @classmethod
    def parse(cls, text: str) -> Self:
        first, dash, last = text.partition("-")
        begin = int(first)
        end = begin if not dash else int(last) if last else FOREVER
        if not 1 <= begin <= end:
            raise ValueError
        return cls(begin, end)

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last


@dataclass(frozen=True)
class Trigger:
    """The condition for a scenario; counts are from 1, since the ledger was cleared.

    Attributes:
        attempts: the requests with the same scenario text.
        requests: the requests to this server.
        chance: from 0 to 1; the same request number and seed always give the same result.
    """

    attempts: Numbers = Numbers()
    requests: Numbers = Numbers()
    chance: float = 1.0

    @classmethod
    def parse(cls, pairs: dict[str, str], own: Collection[str] = ()) -> Self:
        """Take the trigger's keys out of `pairs`, except the scenario's own.

        Raises:
            ValueError: a value is not a number, a range or a chance; the text says which.
        """
        values: dict[str, Numbers | float] = {}
        for key in KEYS:
            if key in own:
                continue
            if (text := pairs.pop(key, None)) is None:
                continue
            try:
                values[key] = cls._chance(text) if key == "chance" else Numbers.parse(text)
            except ValueError:
                form = (
                    "a number from 0 to 1"
                    if key == "chance"
                    else "a number from 1, as 3, or a range, as 2-4 or 3-"
                )
                raise ValueError(f"{key}: '{text}' is not {form}") from None
        return cls(**values)  # type: ignore[arg-type]

    def applies(self, attempt: int, number: int, seed: int) -> bool:
        if attempt not in self.attempts or number not in self.requests:
            return False
        return self.chance >= 1 or Random(f"{seed} {number}").random() < self.chance

    @staticmethod
    def _chance(text: str) -> float:
        value = float(text)
        if not 0 <= value <= 1:
            raise ValueError
        return value
