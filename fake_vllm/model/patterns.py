"""A short text that a regular expression matches, the same for the same seed."""

import re
from collections.abc import Sequence
from random import Random

# The standard library's own parser has no public name.
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

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


def matching(pattern: str, random: Random, *, longer: int = 0) -> str:
    """Make up a text that matches the whole pattern.

    Args:
        pattern: the regular expression.
        random: the source of what the pattern leaves open.
        longer: how often a part may be repeated beyond the fewest times.

    Raises:
        PatternError: the pattern is not a regular expression, or no sample satisfies it.
    """
    try:
        text = "".join(_sampled(parser.parse(pattern), random, [], longer))
        if re.fullmatch(pattern, text) is None:
            raise PatternError(f"fake-vllm has no text for the pattern '{pattern}'.")
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(f"'{pattern}' is not a regular expression: {error}.") from None
    return text


def _sampled(
    parts: Any, random: Random, groups: list[tuple[int, str]], longer: int
) -> Sequence[str]:
    out: list[str] = []
    for operator, value in parts:
        if operator is code.LITERAL:
            out.append(chr(value))
        elif operator is code.NOT_LITERAL:
            out.append(next(letter for letter in _LETTERS if ord(letter) != value))
        elif operator is code.ANY:
            out.append(random.choice(_LETTERS))
        elif operator is code.IN:
            out.append(_one_of(value, random))
        elif operator is code.BRANCH:
            out += _sampled(random.choice(value[1]), random, groups, longer)
        elif operator is code.SUBPATTERN:
            inner = "".join(_sampled(value[3], random, groups, longer))
            groups.append((value[0] or 0, inner))
            out.append(inner)
        elif operator in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
            least, most, repeated = value
            times = max(least, 1) + (random.randint(0, longer) if longer else 0)
            for _ in range(min(times, most)):
                out += _sampled(repeated, random, groups, longer)
        elif operator is code.GROUPREF:
            out.append(next((text for number, text in reversed(groups) if number == value), ""))
        elif operator is code.ATOMIC_GROUP:
            out += _sampled(value, random, groups, longer)
        # Anchors and look-around add no text.
    return out


def _one_of(members: Any, random: Random) -> str:
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
        choices = [one for one in [*_LETTERS, *_PRINTABLE] if one not in choices][:26] or [
            "\N{BULLET}"
        ]
    return random.choice(choices)
