"""The plain words of `regress.yaml`: numbers where numbers are meant, text where text is meant.

PyYAML reads YAML 1.1, in which `5e-1` is text, `01` an octal number, `1:30` is 90, `no` is false
and `2026-01-01` a date. YAML 1.2 reads all of these otherwise. Here a word in a place for text is
the text as it stands. In any other place it is what YAML 1.2 makes of it, and a word that the two
versions read differently as something else than text is refused.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml

from stream_lab.bounded_yaml import LONGEST_NUMBER, BoundedLoader, read_yaml

PLAIN = "!plain"
TRUTH = {"true": True, "false": False}
"""By a word in lower case."""
OLD_TRUTH = {"yes": "true", "on": "true", "no": "false", "off": "false"}
"""Words that are truth values in YAML 1.1 only, and what to write."""
NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], float]], ...] = (
    (
        re.compile(r"[-+]?(0|[1-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)"),
        lambda text: int(text, 0),
    ),
    (
        re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"),
        float,
    ),
    (
        re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        lambda text: float(text.replace(".", "")),
    ),
)
"""The forms of a number without the underscores in it, and how to read each."""
LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9]*)?")


class Word(str):
    """A plain scalar as it is written, neither text nor value yet."""

    line: int


class TwoReadings(ValueError):
    """Raised for a word with another meaning in each version of YAML.

    The text says what to write instead.
    """

    def __init__(self, word: Word, readings: str, instead: str) -> None:
        super().__init__(
            f"'{word}' is {readings}, by the version of YAML; write {instead}, or \"{word}\" in "
            "quotes for the text"
        )
        self.line = word.line


class Loader(BoundedLoader):
    """The bounded loader, which leaves plain scalars as words, and all names as text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as in PyYAML

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep=deep)
        return {str(key) if isinstance(key, Word) else key: value for key, value in found.items()}


def read_words(text: str) -> tuple[yaml.Node | None, object]:
    """Read a text as YAML within bounds, with its plain scalars as words.

    Returns:
        Its nodes, which have the lines, and its content; None and None for an empty text.

    Raises:
        NotYaml: it is not YAML, or exceeds a bound.
    """
    return read_yaml(text, Loader)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<$"), ["<"])
Loader.add_implicit_resolver(PLAIN, re.compile(r"", re.DOTALL), None)
Loader.add_constructor(PLAIN, lambda loader, node: _word(node))


def _word(node: yaml.Node) -> Word:
    word = Word(node.value)
    word.line = node.start_mark.line + 1
    return word


def as_text(value: object) -> object:
    """Return the content of a place for text: each word as it is written."""
    return _each(value, str)


def as_value(value: object) -> object:
    """Return the content of any other place: each word as the value that it means.

    Raises:
        TwoReadings: A word has another meaning in each version of YAML.
    """
    return _each(value, _meaning)


def _each(value: object, read: Callable[[Word], object]) -> object:
    if isinstance(value, Word):
        return read(value)
    if isinstance(value, list):
        return [_each(part, read) for part in value]
    if isinstance(value, dict):
        return {key: _each(part, read) for key, part in value.items()}
    return value


def _meaning(word: Word) -> object:
    lower, digits = word.lower(), word.replace("_", "")
    if len(word) > LONGEST_NUMBER:
        return str(word)
    if lower in TRUTH:
        return TRUTH[lower]
    if lower in OLD_TRUTH:
        raise TwoReadings(word, "a truth value or text", OLD_TRUTH[lower])
    if LEADING_ZERO.fullmatch(word):
        raise TwoReadings(word, "an octal or a decimal number", str(int(digits, 10)))
    if SEXAGESIMAL.fullmatch(word):
        raise TwoReadings(word, "a number to the base of 60 or text", _seconds(digits))
    return next((read(digits) for form, read in NUMBERS if form.fullmatch(word)), str(word))


def _seconds(text: str) -> str:
    total = 0.0
    for part in text.lstrip("+-").split(":"):
        total = total * 60 + float(part)
    return f"{'-' if text.startswith('-') else ''}{total:.12g}"
