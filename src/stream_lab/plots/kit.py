"""The drawing kit: pictures, their palette, and helpers for axes."""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart; marker and hatch repeat it.
OK, LATE, EVENT, GOOD, NEUTRAL, DEADLINE = (
    "#0072B2",
    "#E69F00",
    "#D55E00",
    "#009E73",
    "#999999",
    "#000000",
)
CLOSE = 0.05
"""Seconds past the deadline in which a chunk does not count as late.

The clock of a call starts a little before that of its scope.
"""


class Picture:
    """A figure together with its alternative text; a notebook shows both.

    Attributes:
        figure: the figure.
        alt: the alternative text.
        html: the same as a page that can be stepped through. Empty: there is none.
    """

    def __init__(self, figure: Figure, alt: str, html: str = "") -> None:
        self.figure = figure
        self.alt = alt
        self.html = html

    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        return buffer.getvalue()

    def __repr__(self) -> str:
        return "<picture>"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = {"image/png": self.png(), "text/plain": repr(self)}
        if self.html:
            bundle["text/html"] = self.html
        return bundle, {"image/png": {"alt": self.alt}}


def single(*, height: float, title: str) -> tuple[Figure, Axes]:
    """Return a figure of `height` inches with one pair of axes."""
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def dots(axes: Axes, at: list[float], row: int, colour: str, marker: str, label: str) -> None:
    """Draw a row of dots; many dots are smaller."""
    size = 42 if len(at) < 60 else 14
    axes.scatter(
        at,
        [row] * len(at),
        color=colour,
        marker=marker,
        s=size,
        linewidths=0,
        label=label,
        zorder=2,
    )


def seconds(axes: Axes, text: str = "seconds since the call") -> None:
    """Label the horizontal axis."""
    axes.set_xlabel(text, fontsize=9)
    axes.tick_params(labelsize=9)


def legend(figure: Figure, axes: Axes) -> None:
    """Put the labels of the axes, each once, below the figure."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if handles:
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=3,
            frameon=False,
            fontsize=9,
        )
