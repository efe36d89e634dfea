"""Words of servers, notebooks and strangers' files: text to show, and JSON to read.

A terminal obeys escape sequences, a line break forges a line, and a mark for writing from right to
left reverses the rest of one. JSON of a few kilobytes can be nested too deeply for Python.
"""

import json
from typing import Any

DEEPEST = 64
"""Levels of nesting in JSON; a request or an answer of any model's API has fewer than ten."""


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


def one_line(text: object, most: int = 200) -> str:
    """Return text on one line, where a line break would forge a line.

    Args:
        text: any object; its `str` is taken.
        most: characters at most; an ellipsis shows that there were more.
    """
    shown = printable(" ".join(str(text)[: 4 * most].split()), keep="")
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def read_json(text: str | bytes) -> Any:
    """Read JSON that another program wrote.

    Raises:
        ValueError: it is not JSON, is nested more than 64 levels deep, or has a number that is too
            long for Python.
    """
    try:
        body = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    plain = text if isinstance(text, str) else text.decode(errors="replace")
    if plain.count("[") + plain.count("{") > DEEPEST and _depth(body) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return body


def json_line(body: Any) -> str:
    """Return JSON on one line that a terminal shows and does not obey."""
    text = json.dumps(body, ensure_ascii=False)
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _depth(body: Any) -> int:
    depth, level = 0, [body]
    while level:
        depth += 1
        level = [
            part
            for each in level
            if isinstance(each, dict | list)
            for part in (each.values() if isinstance(each, dict) else each)
            if isinstance(part, dict | list)
        ]
    return depth
