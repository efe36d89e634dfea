"""Words of servers, notebooks and strangers' files: text to show, and JSON to read.

A terminal obeys escape sequences, a line break forges a line, and a mark for writing from right to
left reverses the rest of one. Markdown loads pictures, follows links and passes HTML on. JSON of a
few kilobytes can be nested too deeply for Python.
"""

import json
import re
from itertools import accumulate
from typing import Any

DEEPEST = 64
"""Levels of nesting in JSON; a request or an answer of any model's API has fewer than ten."""
MOST_VALUES = 1_000_000
"""Values in JSON, since an empty list of two bytes takes 64 of memory."""

_LOOK_ALIKES = str.maketrans(
    {"|": "¦", "`": "'", "<": "‹", ">": "›", "*": "∗", "~": "∼", "$": "＄", "\\": "∖", "@": "＠"}
)
"""For characters that viewers of Markdown read in several ways, so that no escape is sure."""
_ACTS = re.compile(
    r"(?<=\])\("  # a link or a picture
    r"|(?<=:)/(?=/)|(?<=www)\."  # an address becomes a link by itself
    r"|&(?=#?\w+;)"
    r"|(?<![^\W_])_|_(?![^\W_])",  # within a word it emphasises nothing
    re.IGNORECASE,
)
"""What has a meaning in Markdown only in its place; a backslash before it ends that."""
_ISSUE = re.compile(r"#(?=\d)")
"""What GitHub makes a link of, even after a backslash, as it does of `@name`."""
_CODE = re.compile(r"(`[^`]+`)")
_STRINGS = re.compile(r'"[^"]*"?')
_BRACKETS = re.compile(r"[\[\]{}]+")
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def printable(text: str, keep: str = "\n\t") -> str:
    """Return text in which what cannot be printed is an escape, such as `\\x1b`.

    Args:
        text: any text.
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each in keep or each.isprintable() else ascii(each)[1:-1] for each in text
    )


def one_line(text: object, most: int | None = 200) -> str:
    """Return text on one line, where a line break would forge a line.

    Args:
        text: any object; its `str` is taken.
        most: characters at most; an ellipsis shows that there were more. None: all.
    """
    whole = str(text)
    read = whole if most is None else whole[: 4 * most]
    shown = printable(" ".join(read.split()), keep="")
    if most is None or (len(shown) <= most and len(read) == len(whole)):
        return shown
    return f"{shown[: most - 1]}…"


def in_markdown(text: object) -> str:
    """Return text on one line that Markdown shows and does not obey, with look-alikes.

    It fits into a cell of a table.
    """
    return _inert(" ".join(str(text).split()))


def with_code(text: object) -> str:
    """Return text as `in_markdown` does, but with its spans of code, which obey nothing either."""
    return "".join(
        # A bare `|` would end the table's cell even there.
        printable(part, keep="").replace("\\|", "∖|").replace("|", r"\|")
        if number % 2
        else _inert(part)
        for number, part in enumerate(_CODE.split(" ".join(str(text).split())))
    )


def _inert(line: str) -> str:
    # Backslashes first: those of `printable` stay, and no other one can undo an escape.
    shown = printable(_ISSUE.sub("＃", line).translate(_LOOK_ALIKES), keep="")
    return _ACTS.sub(r"\\\g<0>", shown)


def read_json(text: str | bytes) -> Any:
    """Read JSON that another program wrote.

    Raises:
        ValueError: it is not JSON, is nested more than 64 levels deep, has more than a million
            values, or has a number that is too long for Python.
        TypeError: it is neither text nor bytes, as a missing value of a database.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    if not isinstance(text, str):
        raise TypeError("it is not text")
    _check(text)
    return json.loads(text)


def json_line(body: Any) -> str:
    """Return JSON on one line that a terminal shows and does not obey."""
    text = json.dumps(body, ensure_ascii=False)
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _check(text: str) -> None:
    """Refuse JSON by its text, since reading it would already take memory and time.

    Raises:
        ValueError: it is nested too deeply, or has too many values.
    """
    if text.count("[") + text.count("{") <= DEEPEST and text.count(",") < MOST_VALUES:
        return
    # Without escapes each quotation mark begins or ends a string, whose brackets do not count.
    bare = _STRINGS.sub("", text.replace("\\\\", "").replace('\\"', ""))
    if bare.count("[") + bare.count("{") + bare.count(",") > MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES:,} values")
    steps = map(_STEPS.__getitem__, "".join(_BRACKETS.findall(bare)))
    if max(accumulate(steps), default=0) > DEEPEST:
        raise ValueError("it is nested too deeply")
