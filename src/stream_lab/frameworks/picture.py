"""The results as one picture: a panel for each kind of bound."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream_lab.frameworks.registry import registry
from stream_lab.frameworks.report import NAMES, Judged, Rows, cells, summary
from stream_lab.plots import EVENT, NEUTRAL, OK, Picture

SHOWN = {
    "natural": "its usual time-out",
    "own": "its own total deadline, the best one",
    "library": "stream-deadline, the first way",
}


def draw(rows: Rows, timeout: float) -> Picture:
    """Draw which cells hold: frameworks down, scenarios across, a panel for each kind of bound.

    A blue square holds, a cross does not, a grey dot stands where there is no such setting. Of
    several settings of a kind, the panel has the one that holds most cells; of the library's, the
    first.
    """
    names = [name for name, row in rows.items() if not row.unplayed]
    counts = summary({name: rows[name] for name in names}, timeout)
    held = {kind: f"{ours} of {all_} cells" for kind, (ours, all_) in counts.items()}
    title = (
        f"A model that babbles is stopped by {held['library']} with stream-deadline, "
        f"by {held['natural']} with the frameworks' usual time-outs"
    )
    figure = Figure(figsize=(9.5, 2.4 + 0.23 * len(names)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, wrap=True)
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    for axes, (kind, heading) in zip(panels, SHOWN.items(), strict=True):
        _panel(axes, names, {name: _best(rows, name, kind, timeout) for name in names})
        axes.set_title(f"{heading}\n{held[kind]} of this kind", fontsize=9, loc="left")
    panels[0].set_yticks(
        range(len(names)), [registry().frameworks[name].title for name in names], fontsize=8
    )
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    for label, colour, marker in (
        ("call ended and server free by the deadline, one generation", OK, "s"),
        ("not", EVENT, "x"),
        ("no such setting or scenario", NEUTRAL, "."),
    ):
        panels[0].plot([], [], marker, color=colour, label=label)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    told = [f"{NAMES[kind]}: {held[kind]} hold" for kind in SHOWN]
    return Picture(figure, f"{title}. {len(names)} frameworks. {'; '.join(told)}.")


def _best(rows: Rows, name: str, kind: str, timeout: float) -> list[Judged]:
    settings: dict[str, list[Judged]] = {}
    for each in cells({name: rows[name]}, timeout, kind):
        settings.setdefault(each.setting, []).append(each)
    if not settings:
        return []
    if kind == "library":
        return next(iter(settings.values()))
    return max(settings.values(), key=lambda found: sum(each.verdict.holds for each in found))


def _panel(axes: Axes, names: Sequence[str], found: dict[str, list[Judged]]) -> None:
    scenarios = list(registry().scenarios)
    marks = {
        (scenarios.index(each.scenario), row): each.verdict.holds
        for row, name in enumerate(names)
        for each in found[name]
    }
    styles = ((True, OK, "s", 60), (False, EVENT, "x", 34), (None, NEUTRAL, ".", 12))
    for holds, colour, marker, size in styles:
        spots = [
            (x, y)
            for x in range(len(scenarios))
            for y in range(len(names))
            if marks.get((x, y)) is holds
        ]
        axes.scatter(
            [x for x, _ in spots],
            [y for _, y in spots],
            color=colour,
            marker=marker,
            s=size,
            linewidths=1.8 * (holds is False),
        )
    titles = [each.title for each in registry().scenarios.values()]
    axes.set_xticks(range(len(scenarios)), titles, rotation=60, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(scenarios) - 0.4)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(color=NEUTRAL, alpha=0.15)
    axes.set_axisbelow(True)
