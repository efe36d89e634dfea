"""A short text that a regular expression matches, the same for the same seed."""

import re
from random import Random

# The standard library's own parser has no public name.
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

from fake_vllm.model.budget import Budget

LONGEST: Final = 20_000
"""Characters of a pattern; the standard library takes 0.1 s to read so many."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PRINTABLE = [chr(number) for number in range(32, 127)]
_CLASSES = {
    code.CATEGORY_DIGIT: "0123456789",
    code.CATEGORY_SPACE: " ",
    code.CATEGORY_WORD: _LETTERS,
    code.CATEGORY_NOT_DIGIT: _LETTERS,
    code.CATEGORY_NOT_SPACE: _LETTERS,
    code.CATEGORY_NOT_WORD: " -",
}


class PatternError(ValueError):
    """Raised when no text can be made for a pattern; the text says why."""


def matching(pattern: str, random: Random, *, longer: int = 0, budget: Budget | None = None) -> str:
    """Make up a text that matches the whole pattern.

    Args:
        pattern: the regular expression.
        random: the source of what the pattern leaves open.
        longer: how often a part may be repeated beyond the fewest times.
        budget: what the text may cost. None: one of its own.

    Raises:
        PatternError: the pattern is not a regular expression, or no sample satisfies it.
        TooMuchError: the text would be too long.
    """
    check_length(pattern)
    sampler = _Sampler(random, longer, budget or Budget())
    try:
        text = sampler.text(parser.parse(pattern))
        if re.fullmatch(pattern, text) is None:
            raise PatternError(f"fake-vllm has no text for the pattern '{pattern}'.")
    except RecursionError:
        raise PatternError("The regular expression is nested too deeply.") from None
    except (re.error, OverflowError) as error:
        raise PatternError(f"'{pattern}' is not a regular expression: {error}.") from None
    return text


def check_length(pattern: str) -> None:
    """Refuse a pattern that takes long to read.

    Raises:
        PatternError: it is too long.
    """
    if len(pattern) > LONGEST:
        raise PatternError(f"A pattern may have at most {LONGEST:,} characters.")


class _Sampler:
    def __init__(self, random: Random, longer: int, budget: Budget) -> None:
        self._random, self._longer, self._budget = random, longer, budget
        self._groups: dict[int, str] = {}
        self._classes: dict[int, list[str]] = {}  # by the identity of the class in the pattern

    def text(self, parts: Any) -> str:
        out: list[str] = []
        for operator, value in parts:
            self._budget.spend(1)
            if operator is code.LITERAL:
                out.append(chr(value))
            elif operator is code.NOT_LITERAL:
                out.append(next(letter for letter in _LETTERS if ord(letter) != value))
            elif operator is code.ANY:
                out.append(self._random.choice(_LETTERS))
            elif operator is code.IN:
                out.append(self._random.choice(self._class(value)))
            elif operator is code.BRANCH:
                out.append(self.text(self._random.choice(value[1])))
            elif operator is code.SUBPATTERN:
                inner = self.text(value[3])
                self._groups[value[0] or 0] = inner
                out.append(inner)
            elif operator in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
                out += self._repeated(*value)
            elif operator is code.GROUPREF:
                again = self._groups.get(value, "")
                self._budget.spend(len(again))
                out.append(again)
            elif operator is code.ATOMIC_GROUP:
                out.append(self.text(value))
            # Anchors and look-around add no text.
        return "".join(out)

    def _repeated(self, least: int, most: int, parts: Any) -> list[str]:
        times = max(least, 1) + (self._random.randint(0, self._longer) if self._longer else 0)
        out = []
        for _ in range(min(times, most)):
            self._budget.spend(1)  # also if the part is empty
            out.append(self.text(parts))
        return out

    def _class(self, members: Any) -> list[str]:
        if id(members) not in self._classes:
            choices = _letters_of(members)
            self._budget.spend(len(choices))
            self._classes[id(members)] = choices
        return self._classes[id(members)]


def _letters_of(members: Any) -> list[str]:
    """Return letters that a class of characters has."""
    choices: list[str] = []
    negated = False
    for operator, value in members:
        if operator is code.NEGATE:
            negated = True
        elif operator is code.LITERAL:
            choices.append(chr(value))
        elif operator is code.RANGE:
            choices += [
                chr(number) for number in range(value[0], min(value[1], value[0] + 255) + 1)
            ]
        elif operator is code.CATEGORY:
            choices += _CLASSES[value]
    if negated:
        without = set(choices)
        choices = [one for one in [*_LETTERS, *_PRINTABLE] if one not in without][:26] or [
            "\N{BULLET}"
        ]
    return choices
