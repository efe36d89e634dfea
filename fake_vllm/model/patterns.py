"""A short text that a regular expression matches, the same for the same seed."""

import re
from random import Random

# The standard library's own parser has no public name.
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final, NamedTuple

from fake_vllm.model.budget import Budget

LONGEST: Final = 20_000
"""Characters of a pattern; to read so many takes 0.1 s, or 0.5 s if most are classes."""
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


class Pattern(NamedTuple):
    """A pattern that has been read.

    Attributes:
        parts: its parts, as the standard library's parser returns them.
        compiled: the compiled pattern.
        classes: the letters of its classes, by the identity of the class in `parts`.
    """

    parts: Any
    compiled: re.Pattern[str]
    classes: dict[int, list[str]]


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
    budget = budget or Budget()
    known = read(pattern, budget)
    budget.spend(len(pattern) // 20)  # what makes no text, as look-ahead, is matched too
    try:
        text = _Sampler(random, longer, budget, known.classes).text(known.parts)
    except RecursionError:
        raise PatternError("The regular expression is nested too deeply.") from None
    if known.compiled.fullmatch(text) is None:
        raise PatternError(f"fake-vllm has no text for the pattern '{pattern}'.")
    return text


def read(pattern: str, budget: Budget) -> Pattern:
    """Parse and compile a pattern, once for each budget.

    Raises:
        PatternError: it is not a regular expression, or too long or too deep.
        TooMuchError: it takes too long to read.
    """
    if pattern in budget.patterns:
        known: Pattern = budget.patterns[pattern]
        return known
    check_length(pattern)
    budget.spend(50 + 4 * len(pattern))
    try:
        parts = parser.parse(pattern)
        budget.spend(_cost_of_classes(parts))
        budget.patterns[pattern] = Pattern(parts, re.compile(pattern), {})
    except RecursionError:
        raise PatternError("The regular expression is nested too deeply.") from None
    except (re.error, OverflowError) as error:
        raise PatternError(f"'{pattern}' is not a regular expression: {error}.") from error
    return read(pattern, budget)


def check_length(text: str, kind: str = "pattern") -> None:
    """Refuse a pattern or grammar that takes long to read.

    Raises:
        PatternError: it is too long.
    """
    if len(text) > LONGEST:
        raise PatternError(f"A {kind} may have at most {LONGEST:,} characters.")


def _cost_of_classes(parts: Any) -> int:
    """Return what it costs to compile the classes.

    The standard library goes through the characters of each range, up to the 65,536th.
    """
    cost, inner = 0, [parts]
    while inner:
        match inner.pop():
            case (code.RANGE, (low, high)):
                cost += max(0, min(high, 0xFFFF) - low) // 16
            case (code.IN, members):
                cost += 20
                inner += members
            case parser.SubPattern(data=children) | list(children) | tuple(children):
                inner += children
    return cost


class _Sampler:
    def __init__(
        self, random: Random, longer: int, budget: Budget, classes: dict[int, list[str]]
    ) -> None:
        self._random, self._longer, self._budget = random, longer, budget
        self._groups: dict[int, str] = {}
        self._classes = classes

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
            if not parts:
                self._budget.spend(1)  # else each of its parts does
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
