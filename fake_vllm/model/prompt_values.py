"""Values in a prompt that a model would use: numbers, quoted words, names."""

import re
from collections.abc import Callable
from typing import TypeVar

_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?!\w|\.\d)")
_QUOTED = re.compile(r"""(?<!\w)(?:'([^'\n]+)'|"([^"\n]+)"|`([^`\n]+)`|“([^”\n]+)”)(?!\w)""")
_Value = TypeVar("_Value")
LOOKED_AT = 200
"""The next values that are tried for each place."""


class PromptValues:
    """The numbers and quoted words of a prompt, each handed out once, in order."""

    def __init__(self, text: str) -> None:
        self._text, self._lower = text, text.lower()
        self._numbers = [
            float(number) if "." in number else int(number) for number in _NUMBER.findall(text)
        ]
        self._quoted = ["".join(groups) for groups in _QUOTED.findall(text)]

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
        """Return where a name stands as a whole word, in any case. None: nowhere."""
        if name.lower() not in self._lower:
            return None  # at once, since a schema may have thousands of names
        match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self._text, re.IGNORECASE)
        return match.start() if match else None


def _take(values: list[_Value], fits: Callable[[_Value], bool]) -> _Value | None:
    for index, value in enumerate(values[:LOOKED_AT]):
        if fits(value):
            return values.pop(index)
    return None
