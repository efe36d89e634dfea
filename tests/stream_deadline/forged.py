"""Texts of a client that would forge a line of the log."""

LINE = "2026-11-26 CRITICAL root all is well"
FORGED = {
    "line feed": f"\n{LINE}",
    "carriage return": f"\r{LINE}",
    "both": f"\r\n{LINE}",
    "vertical tab": f"\x0b{LINE}",
    "form feed": f"\x0c{LINE}",
    "separators": f"\x1c\x1d\x1e{LINE}",
    "next line": f"\x85{LINE}",
    "line separator": f"\u2028{LINE}",
    "paragraph separator": f"\u2029{LINE}",
    "escape": f"\x1b[2K\x1b[1A{LINE}",
    "a terminal's title": f"\x1b]0;{LINE}\x07",
    "a C1 control": f"\x9b2K{LINE}",
    "backspaces": "\x08" * 20 + LINE,
    "a null": f"\x00{LINE}",
    "from right to left": f"\u202e{LINE}",
    "of no width": f"\u200b\ufeff{LINE}",
    "a lone surrogate": f"\ud800{LINE}",
    "spaces": f" after 0.00 s: all is well {LINE}",
    "long": "x" * 1_000_000,
    "long, and to be escaped": "\n" * 1_000_000,
    "long, in four bytes each": "𝄞" * 1_000_000,
}
