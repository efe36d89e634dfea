"""The results as one picture: a panel for each kind of bound."""

from collections.abc import Iterable, Sequence
from enum import Enum

from matplotlib.axes import Axes

from stream_lab.frameworks.registry import registry
from stream_lab.frameworks.report import Judged, Rows, cells
from stream_lab.plots import EVENT, LATE, NEUTRAL, OK, Picture, canvas

PANELS = {
    "natural": "its usual time-out",
    "own": "its own total deadline",
    "library": "stream-deadline",
}


class Look(Enum):
    """How a cell is drawn: words in the legend, colour, marker, size."""

    HOLDS = ("call ended and server free by the deadline, one generation", OK, "s", 60)
    SILENT = ("the same, but the call ended without an error", LATE, "D", 42)
    FAILS = ("not", EVENT, "x", 34)
    NONE = ("no such cell", NEUTRAL, ".", 12)


def draw(rows: Rows, timeout: float) -> Picture:
    """Draw which cells hold: frameworks down, scenarios across, a panel for each kind of bound.

    Of several settings of a kind, a panel has the one that holds most cells, and of the library's
    the first. The counts are of the cells that are drawn.
    """
    names = [name for name, row in rows.items() if not row.unplayed]
    shown = {kind: {name: _one(rows, name, kind, timeout) for name in names} for kind in PANELS}
    counts = {kind: _count(found.values()) for kind, found in shown.items()}
    title = (
        f"With stream-deadline, calls end and servers are free on time in {counts['library']} "
        f"cells;\nwith the frameworks' usual time-outs, in {counts['natural']}"
    )
    figure = canvas(width=9.5, height=2.3 + 0.23 * len(names), title=title)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (kind, heading) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, names, shown[kind])
        axes.set_title(f"{heading}\n{counts[kind]} cells hold", fontsize=9, loc="left")
    titles = [registry().frameworks[name].title for name in names]
    panels[0].set_yticks(range(len(names)), titles, fontsize=8)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    for look in Look:
        words, colour, marker, _ = look.value
        panels[0].plot([], [], marker, color=colour, label=words)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    told = [f"{heading}: {counts[kind]}" for kind, heading in PANELS.items()]
    flat = title.replace("\n", " ")
    return Picture(figure, f"{flat}. {len(names)} frameworks. {'; '.join(told)}.")


def _one(rows: Rows, name: str, kind: str, timeout: float) -> list[Judged]:
    settings: dict[str, list[Judged]] = {}
    for each in cells({name: rows[name]}, timeout, kind):
        settings.setdefault(each.setting, []).append(each)
    if kind == "library":
        return next(iter(settings.values()), [])
    return max(settings.values(), key=lambda found: sum(map(_holds, found)), default=[])


def _holds(cell: Judged) -> bool:
    return cell.verdict.holds


def _count(found: Iterable[Sequence[Judged]]) -> str:
    every = [cell for cells in found for cell in cells]
    return f"{sum(map(_holds, every))} of {len(every)}"


def _look(cell: Judged) -> Look:
    if not cell.verdict.holds:
        return Look.FAILS
    return Look.SILENT if cell.verdict.silent else Look.HOLDS


def _panel(axes: Axes, names: Sequence[str], found: dict[str, list[Judged]]) -> None:
    scenarios = list(registry().scenarios)
    looks = {
        (scenarios.index(each.scenario), row): _look(each)
        for row, name in enumerate(names)
        for each in found[name]
    }
    places = [(x, y) for x in range(len(scenarios)) for y in range(len(names))]
    for look in Look:
        _, colour, marker, size = look.value
        spots = [place for place in places if looks.get(place, Look.NONE) is look]
        across, down = [x for x, _ in spots], [y for _, y in spots]
        width = 1.8 * (look is Look.FAILS)
        axes.scatter(across, down, color=colour, marker=marker, s=size, linewidths=width)
    titles = [each.title for each in registry().scenarios.values()]
    axes.set_xticks(
        range(len(scenarios)), titles, rotation=60, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.set_xlim(-0.6, len(scenarios) - 0.4)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(color=NEUTRAL, alpha=0.15)
    axes.set_axisbelow(True)
