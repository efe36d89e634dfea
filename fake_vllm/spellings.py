"""Texts as JSON, addresses and HTML spell them, and where each part stood."""

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Final

ROUNDS: Final = 4
"""How often a text may be quoted, as a URL in a URL, or JSON in JSON in an address."""
ESCAPE: Final = re.compile(
    rb"(%[0-9a-fA-F]{2}"
    rb"|\\+u[dD][89abAB][0-9a-fA-F]{2}\\+u[dD][c-fC-F][0-9a-fA-F]{2}"  # two surrogates
    rb"|\\+(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[^\\%&])?"  # JSON in JSON has several backslashes
    rb"|&(?:#0{0,20}[0-9]{1,7}|#[xX]0{0,20}[0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});)",
    re.DOTALL,
)
"""A character that is not written as itself."""
BEGUN: Final = re.compile(
    rb"(?:\xef\xbf\xbd)?(?:%[0-9a-fA-F]{0,2}|&[#\w]{0,9}|[ux][0-9a-fA-F]{0,3}|)", re.ASCII
)
"""What such a character may read as if the text was cut off inside it."""
LONGEST_BEGUN: Final = 13  # bytes
NULS: Final = re.compile(rb"(\0+)")
"""What UTF-16 and UTF-32 have between characters of ASCII."""
BLANKS: Final = bytes.maketrans(b"+\t\r\n", b"    ")
"""A form writes a blank as `+`."""
AROUND: Final = "\0\"'\\"
"""What is not looked for at the ends of a secret: JSON may have it there as a part of its own."""
BY_LETTER: Final = {b"t": b"\t", b"r": b"\r", b"n": b"\n"}


class Plain:
    """A text as it reads, and where its parts stood before.

    Attributes:
        text: all spellings of one text have the same. Signs for a blank are blanks, and there are
            no backslashes.
    """

    def __init__(self, written: bytes) -> None:
        self._steps: list[_Step] = []
        text = written
        if b"\0" in text:
            text = self._step(text, NULS, lambda _: b"")
        for _ in range(ROUNDS):
            if ESCAPE.search(text) is None:
                break
            text = self._step(text, ESCAPE, _character)
        self.text = text.translate(BLANKS)

    def _step(
        self, text: bytes, pattern: re.Pattern[bytes], read: Callable[[bytes], bytes]
    ) -> bytes:
        step = _Step(text, pattern, read)
        self._steps.append(step)
        return step.text

    def origin(self, begin: int, end: int) -> tuple[int, int]:
        """Return where a part of `text` was written."""
        for step in reversed(self._steps):
            begin, end = step.origin(begin, end)
        return begin, end


class _Step:
    """A text in which all matches of a pattern are replaced once."""

    def __init__(
        self, written: bytes, pattern: re.Pattern[bytes], read: Callable[[bytes], bytes]
    ) -> None:
        parts = pattern.split(written)  # every second one is a match
        self._written_ends = list(accumulate(map(len, parts)))
        parts[1::2] = map(read, parts[1::2])
        self._ends = list(accumulate(map(len, parts)))
        self.text = b"".join(parts)

    def origin(self, begin: int, end: int) -> tuple[int, int]:
        first, last = bisect_right(self._ends, begin), bisect_right(self._ends, end - 1)
        ends, written = self._ends, self._written_ends
        return (
            written[first - 1] if first % 2 else written[first] - (ends[first] - begin),
            written[last] if last % 2 else written[last] - (ends[last] - end),
        )


def places(text: bytes, part: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each occurrence of a part begins and ends."""
    at = text.find(part)
    while at >= 0:
        yield at, at + len(part)
        at = text.find(part, at + len(part))


def ends(text: bytes, cut: int | None = None) -> list[int]:
    """Return where a text is cut off, and where a cut character begins.

    Args:
        text: the text.
        cut: where it is cut off. None: at its end.
    """
    cut = len(text) if cut is None else cut
    last = range(cut, max(-1, cut - LONGEST_BEGUN - 1), -1)
    return [end for end in last if BEGUN.fullmatch(text, end, cut)]


@lru_cache(256)
def _character(escape: bytes) -> bytes:
    """Return the bytes that an escape stands for, in UTF-8."""
    if escape.startswith(b"%"):
        return bytes((int(escape[1:], 16),))
    if escape.startswith(b"&"):
        return html.unescape(escape.decode()).encode("utf-8", "replace")
    code = escape.lstrip(b"\\")
    if len(code) == 1 or not code:
        return BY_LETTER.get(code, code)
    if code.startswith(b"x"):
        return bytes((int(code[1:], 16),))
    units = b"".join(int(code[at : at + 4], 16).to_bytes(2) for at in (1, len(code) - 4))
    units = units if len(code) > 5 else units[:2]
    return units.decode("utf-16-be", "replace").encode()
