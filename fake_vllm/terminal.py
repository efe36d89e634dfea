"""Text that clients choose, as a terminal or a log may show it."""


def printable(text: str) -> str:
    """Return a text on one line, with characters that cannot be printed as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
