"""Text that clients choose, as a terminal or a log may show it."""

from typing import Final

MOST_SAID: Final = 1000
"""Characters of a sentence that may repeat what a client has chosen."""


def printable(text: str) -> str:
    """Return a text on one line, with characters that cannot be printed as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def shortened(text: str, most: int = 100) -> str:
    """Return a text of at most `most` characters; an ellipsis shows that there were more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
