"""The matrix as a picture."""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes

from stream_lab.matrix.callers import Caller
from stream_lab.matrix.cells import Result
from stream_lab.matrix.overview import overview
from stream_lab.matrix.servers import Server
from stream_lab.plots import EVENT, NEUTRAL, OK, Picture, canvas, legend

LEAST = 8  # columns; a narrower panel would cut off its heading
PAGE = 12.0  # inches
Row = Server | Caller


def heat_map(played: Mapping[str, Sequence[Result]], *, title: str) -> Picture:
    """Draw a panel for each class, and a panel of callers.

    A panel has servers down and calls across. A blue square holds, a cross does not. A missing mark
    means that the cell makes no sense, or is about a parameter that the class does not have. If
    there are several groups of rows, each has its name above it. Panels that do not fit on a page
    become an overview.

    Args:
        played: the results of the same cells, by the name of the class.
        title: the finding, as a sentence.
    """
    # Classes with all cells come first, since they have the rows in order.
    some = [
        result.cell
        for results in sorted(played.values(), key=len, reverse=True)
        for result in results
    ]
    servers = _lines(cell.row for cell in some if cell.column is not None)
    calls = list(dict.fromkeys(cell.column.name for cell in some if cell.column is not None))
    callers = _lines(cell.row for cell in some if cell.column is None)
    widths = [max(len(calls), LEAST)] * len(played) + [max(len(played) + 1, LEAST)] * bool(callers)
    alt = f"{title}. {'. '.join(f'{name}: {_count(each)}' for name, each in played.items())}."
    width = 3.4 + 0.19 * sum(widths)
    if width > PAGE:
        return overview(played, title=title, alt=alt)
    height = 2.2 + 0.2 * max(len(servers), len(callers))
    figure = canvas(width=width, height=height, title=title)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for number, ((name, results), axes) in enumerate(zip(played.items(), panels, strict=False)):
        grid = {
            (calls.index(each.cell.column.name), servers.index(each.cell.row)): each.holds
            for each in results
            if each.cell.column is not None
        }
        _draw(axes, grid, calls, servers, named=number == 0)
        axes.set_title(f"{name}\n{_count(results)}", fontsize=10, loc="left")
    if callers:
        grid = {
            (column, callers.index(each.cell.row)): each.holds
            for column, results in enumerate(played.values())
            for each in results
            if each.cell.column is None
        }
        axes = panels[-1]
        _draw(axes, grid, list(played), callers)
        axes.set_title("what the caller does", fontsize=10, loc="left")
    for label, colour, marker in (("holds", OK, "s"), ("does not hold", EVENT, "x")):
        panels[0].plot([], [], marker, color=colour, label=label)
    rows = sum(not isinstance(row, str) for row in servers)
    if len(played) * rows * len(calls) > sum(cell.column is not None for cell in some):
        panels[0].plot([], [], linestyle="none", label="no mark: not possible here")
    legend(figure, panels[0])
    return Picture(figure, alt)


def _lines(rows: Iterable[Row]) -> list[Row | str]:
    """Return the rows, each once and group by group; several groups have their names between."""
    groups: dict[str, dict[Row, None]] = {}
    for row in rows:
        groups.setdefault(row.group, {})[row] = None
    return [
        line
        for group, members in groups.items()
        for line in ([group] * (len(groups) > 1) + list(members))
    ]


def _draw(
    axes: Axes,
    grid: Mapping[tuple[int, int], bool],
    across: Sequence[str],
    down: Sequence[Row | str],
    *,
    named: bool = True,
) -> None:
    for holds, colour, marker, size in ((True, OK, "s", 70), (False, EVENT, "x", 34)):
        cells = [cell for cell, held in grid.items() if held is holds]
        axes.scatter(
            [x for x, _ in cells],
            [y for _, y in cells],
            color=colour,
            marker=marker,
            s=size,
            linewidths=1.8 * (not holds),
        )
    axes.set_xticks(range(len(across)), across, rotation=90, fontsize=8)
    labels = axes.set_yticks(
        range(len(down)), [_label(line) if named else "" for line in down], fontsize=8
    )
    for line, tick in zip(down, labels, strict=True):
        tick.label1.set_fontweight("bold" if isinstance(line, str) else "normal")
        tick.label2.set_fontweight("bold" if isinstance(line, str) else "normal")
    axes.set_xlim(-0.7, len(across) - 0.3)
    axes.set_ylim(len(down) - 0.3, -0.7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(color=NEUTRAL, alpha=0.15)
    axes.set_axisbelow(True)


def _label(line: Row | str) -> str:
    return line if isinstance(line, str) else line.name.removesuffix(", pooled")


def _count(results: Sequence[Result]) -> str:
    return f"{sum(result.holds for result in results)} of {len(results)} cells hold"
