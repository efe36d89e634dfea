"""Why a notebook broke off, as text that people can read; never empty."""

import re
import signal

COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""The sequences by which a terminal shows colours."""


def of_exception(name: str, text: str) -> str:
    """Return an exception as one text.

    Args:
        name: The name of its class.
        text: Its own text.
    """
    name, text = readable(name), readable(text)
    return f"{name or 'an exception without a name'}: {text or 'it has no text'}"


def of_death(what: str, status: int | None) -> str:
    """Say how a process died.

    Args:
        what: The process, in words.
        status: Its exit status, negative for a signal; None: unknown.
    """
    if status is None:
        return f"{what} died"
    if status == -signal.SIGKILL:
        return f"{what} died: SIGKILL ended it, which also happens when the memory is used up"
    if status < 0:
        return f"{what} died: {_name(-status)} ended it"
    return f"{what} died: it ended itself with status {status}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def readable(text: str) -> str:
    """Return text without colours, in which what cannot be printed is an escape; maybe empty."""
    plain = COLOURS.sub("", text)
    shown = "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in plain
    )
    return shown.strip()
