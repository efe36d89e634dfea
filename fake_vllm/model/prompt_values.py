"""Values in a prompt that a model would use: numbers, quoted words, names."""

import copy
import re
from collections.abc import Callable
from functools import cached_property
from typing import Self, TypeVar

from fake_vllm.model.budget import Budget

_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?!\w|\.\d)")
_QUOTED = re.compile(r"""(?<!\w)(?:'([^'\n]+)'|"([^"\n]+)"|`([^`\n]+)`|“([^“”\n]+)”)(?!\w)""")
_Value = TypeVar("_Value")
LOOKED_AT = 200
"""The next values that are tried for each place."""


class PromptValues:
    """The numbers and quoted words of a prompt, each handed out once, in order.

    They are looked for when the first is needed, since most prompts need none.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._positions: dict[str, int | None] = {}
        self._budget = Budget()  # for the search of names

    def anew(self) -> Self:
        """Return a copy, which hands out values of its own."""
        other = copy.copy(self)
        other._numbers, other._quoted = [*self._numbers], [*self._quoted]
        return other

    @cached_property
    def _folded(self) -> str:
        return _folded(self._text)

    @cached_property
    def _numbers(self) -> list[float]:
        found = _NUMBER.findall(self._text)
        return [float(number) if "." in number else int(number) for number in found]

    @cached_property
    def _quoted(self) -> list[str]:
        return ["".join(groups) for groups in _QUOTED.findall(self._text)]

    def number(self, fits: Callable[[float], bool]) -> float | None:
        """Take the next number that fits; integers stay integers. None: no number fits."""
        return _take(self._numbers, fits)

    def quoted(self, fits: Callable[[str], bool]) -> str | None:
        """Take the next quoted word that fits. None: no word fits."""
        return _take(self._quoted, fits)

    def all_quoted(self) -> list[str]:
        """Take the remaining quoted words, as many as are looked at."""
        taken, self._quoted = self._quoted[:LOOKED_AT], []
        return taken

    def position(self, name: str) -> int | None:
        """Return where a name first stands as a whole word, in any case. None: nowhere.

        Raises:
            TooMuchError: the names are too many for so long a prompt.
        """
        if name not in self._positions:
            self._positions[name] = self._found(_folded(name))
        return self._positions[name]

    def _found(self, name: str) -> int | None:
        text = self._folded
        self._budget.spend(1 + len(text) // 5000)
        at = text.find(name)
        while at >= 0:
            self._budget.spend(1)
            end = at + len(name)
            if not (_is_letter(text[at - 1 : at]) or _is_letter(text[end : end + 1])):
                return at
            at = text.find(name, at + 1)
        return None


def _folded(text: str) -> str:
    """Return a text without case, as in a regular expression."""
    return text.replace("İ", "i").replace("ı", "i").casefold()


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


def _take(values: list[_Value], fits: Callable[[_Value], bool]) -> _Value | None:
    for index, value in enumerate(values[:LOOKED_AT]):
        if fits(value):
            return values.pop(index)
    return None
