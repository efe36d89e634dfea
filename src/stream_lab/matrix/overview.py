"""The whole matrix on one page: for each row and class a strip of cells."""

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stream_lab.matrix.cells import Result
from stream_lab.plots import DPI, LATE, NEUTRAL, OK, Picture, canvas

# Lengths are in inches, and whole pixels: a strip with blurred edges cannot be read.
PIXEL = 1 / DPI
LABELS, STRIP, COUNT = 242 * PIXEL, 110 * PIXEL, 53 * PIXEL
LINE, HEADING, CELL = 18 * PIXEL, 30 * PIXEL, 12 * PIXEL
CALLER = 15 * PIXEL  # the width of a cell about a caller, which has no way to call
POOLED = ", pooled"
QUIET = "#595959"


def overview(played: Mapping[str, Sequence[Result]], *, title: str, alt: str) -> Picture:
    """Draw a strip of cells, with its count, for each class and row.

    A cell is high and blue if it holds, low and orange if it does not. The upper half of a strip is
    about new connections, the lower half about those that were already open.

    Args:
        played: the results of the same cells, by the name of the class.
        title: the finding, as a sentence.
        alt: the alternative text.
    """
    some = max(played.values(), key=len)
    calls = list(dict.fromkeys(each.cell.column.name for each in some if each.cell.column))
    groups: dict[str, dict[str, None]] = {}
    for each in some:
        members = groups.setdefault(each.cell.row.group.removesuffix(POOLED), {})
        members[each.cell.row.name.removesuffix(POOLED)] = None
    halves = any(each.cell.row.pooled for each in some)
    key = _key(calls, halves)
    lines = sum(map(len, groups.values()))
    height = 0.55 + HEADING * len(groups) + LINE * lines + 0.15 * (key.count("\n") + 2)
    width = LABELS + (STRIP + COUNT) * len(played)
    figure = canvas(width=width, height=height + 0.3, title=title)
    axes = _page(figure, width)
    y = _whole(figure.get_figheight() - height)
    for number, (name, results) in enumerate(played.items()):
        held = f"{sum(each.holds for each in results)} of {len(results)} cells"
        axes.text(_x(number), y, f"{name}\n{held}", fontsize=9, va="top")
    y += 38 * PIXEL
    tops: dict[tuple[str, str], float] = {}
    for group, rows in groups.items():
        axes.text(0.1, y + 0.07, group, fontsize=8.5, va="top", fontweight="bold")
        y += HEADING
        for row in rows:
            axes.text(LABELS - 0.1, y + LINE / 2, row, fontsize=8, ha="right", va="center")
            axes.plot(
                [LABELS, width - 0.1], [y + LINE] * 2, color=NEUTRAL, alpha=0.3, linewidth=0.5
            )
            tops[group, row] = y
            y += LINE
    for number, results in enumerate(played.values()):
        _strips(axes, results, calls, tops, _x(number), halves=halves)
    axes.text(0.1, y + 0.12, key, fontsize=8, va="top", color=QUIET)
    return Picture(figure, alt)


def _x(number: int) -> float:
    return LABELS + (STRIP + COUNT) * number


def _whole(length: float) -> float:
    return round(length / PIXEL) * PIXEL


def _page(figure: Figure, width: float) -> Axes:
    """Return axes over the whole figure, in inches from the upper left corner."""
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(figure.get_figheight(), 0)
    return axes


def _strips(
    axes: Axes,
    results: Sequence[Result],
    calls: Sequence[str],
    tops: Mapping[tuple[str, str], float],
    left: float,
    *,
    halves: bool,
) -> None:
    """Draw the strips of one class, with their counts."""
    step = _whole(STRIP / max(len(calls), 1))
    high = CELL / 2 if halves else CELL
    patches: dict[bool, list[Rectangle]] = {True: [], False: []}
    counts: dict[float, list[bool]] = {}
    for each in results:
        row, call = each.cell.row, each.cell.column
        top = tops[row.group.removesuffix(POOLED), row.name.removesuffix(POOLED)]
        counts.setdefault(top, []).append(each.holds)
        x = left + (calls.index(call.name) * step if call else 0)
        bottom = top + 3 * PIXEL + high * (2 if row.pooled else 1)
        tall = high - PIXEL if each.holds else 2 * PIXEL
        wide = step - PIXEL if call else CALLER
        patches[each.holds].append(Rectangle((x, bottom - tall), wide, tall))
    for holds, colour in ((True, OK), (False, LATE)):
        cells = PatchCollection(patches[holds], facecolor=colour, linewidth=0, antialiased=False)
        axes.add_collection(cells)
    for top, holding in counts.items():
        axes.text(
            left + STRIP + 0.03,
            top + LINE / 2,
            f"{sum(holding)}/{len(holding)}",
            fontsize=7.5,
            va="center",
            color="black" if all(holding) else QUIET,
        )


def _key(calls: Sequence[str], halves: bool) -> str:
    """Return how to read the strips."""
    parts = [
        "High and blue: the cell holds. Low and orange: it does not. Blank: this call cannot meet "
        "this behaviour, or the class lacks the parameter that the row is about."
    ]
    if halves:
        parts.append("Upper half: over a new connection. Lower half: over one that was open.")
    parts.append(f"The ways to call, from left to right: {', '.join(calls)}.")
    return "\n".join(line for part in parts for line in textwrap.wrap(part, 125))
