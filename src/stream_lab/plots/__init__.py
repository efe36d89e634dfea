"""The drawing kit: pictures with alternative text, a palette, and helpers for axes.

Each room draws its own pictures with it: `stream_lab.experiment.pictures`,
`stream_lab.http.pictures`, `stream_lab.matrix.picture`, `stream_lab.regress.pictures`.
"""

from stream_lab.plots.kit import (
    CLOSE,
    DEADLINE,
    DPI,
    EVENT,
    GOOD,
    LATE,
    NEUTRAL,
    OK,
    Picture,
    canvas,
    dots,
    legend,
    seconds,
    single,
    whole_numbers,
)

__all__ = [
    "CLOSE", "DEADLINE", "DPI", "EVENT", "GOOD", "LATE", "NEUTRAL", "OK",
    "Picture", "canvas", "dots", "legend", "seconds", "single", "whole_numbers",
]  # fmt: skip
