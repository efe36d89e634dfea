"""The drawing kit: pictures, their palette, and helpers for axes."""

import io
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's palette, which colour-blind readers can tell apart; marker and hatch repeat it.
OK, LATE, EVENT, GOOD, NEUTRAL, DEADLINE = (
    "#0072B2",
    "#E69F00",
    "#D55E00",
    "#009E73",
    "#999999",
    "#000000",
)
PAPER = "#FFFFFF"  # opaque, so that a picture reads the same on a light and on a dark page
DPI = 110
WIDTH = 8.0  # inches
MARGIN = 0.1  # inches
TITLE_LINE = 0.2  # inches
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
        self.figure.savefig(
            buffer,
            format="png",
            dpi=DPI,
            facecolor=PAPER,
            metadata={"Software": None},
        )
        return buffer.getvalue()

    def __repr__(self) -> str:
        return "<picture>"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = {"image/png": self.png(), "text/plain": repr(self)}
        if self.html:
            bundle["text/html"] = self.html
        return bundle, {"image/png": {"alt": self.alt}}


def canvas(*, height: float, title: str, width: float = WIDTH) -> Figure:
    """Return a figure with a margin and a title; a long title is wrapped.

    Args:
        height: inches, with a title of one line; further lines add theirs.
        title: the finding, as a sentence.
        width: inches.
    """
    lines = [line for part in title.split("\n") for line in textwrap.wrap(part, int(11.5 * width))]
    height += TITLE_LINE * (len(lines) - 1)
    figure = Figure(figsize=(width, height), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    across, up, below = MARGIN / width, MARGIN / height, TITLE_LINE * (len(lines) + 0.4) / height
    engine.set(rect=(across, up, 1 - 2 * across, 1 - 2 * up - below))  # type: ignore[call-arg]
    figure.suptitle(
        "\n".join(lines), x=across, y=1 - up, ha="left", va="top", fontsize=11, in_layout=False
    )
    return figure


def single(*, height: float, title: str) -> tuple[Figure, Axes]:
    """Return a figure of `height` inches with one pair of axes."""
    figure = canvas(height=height, title=title)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def whole_numbers(axis: Axis) -> None:
    """Put ticks only at whole numbers, for what is counted."""
    axis.set_major_locator(MaxNLocator(nbins="auto", integer=True))


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


def legend(figure: Figure, *axes: Axes) -> None:
    """Put the labels of the axes, each once, below the figure."""
    handles: dict[str, Any] = {}
    for each in axes:
        handles |= dict(zip(*reversed(each.get_legend_handles_labels()), strict=True))
    if handles:
        long = sum(len(label) + 8 for label in handles) > 110
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=3 if long else len(handles),
            frameon=False,
            fontsize=9,
        )
