"""Pictures of the history: how late deadlines were, and how long notebooks took."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.lines import Line2D

from stream_lab.plots import DEADLINE, EVENT, GOOD, LATE, NEUTRAL, OK, Picture, canvas
from stream_lab.regress.history import Past

COLOURS = (OK, EVENT, GOOD, LATE, DEADLINE, NEUTRAL)
MARKERS = "osX^Dv*Phd<>"
STROKES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (1, 4)))
SLOWER = 1.5
"""A notebook is slower if it takes this many times the median before, and AT_LEAST seconds more."""
AT_LEAST = 1.0
WIDE = 20.0
"""From this many times the median, a greatest value would hide the small ones on a linear axis."""
MOST_TICKS = 16


@dataclass(frozen=True)
class Series:
    """One line of a picture.

    Attributes:
        what: Shown by colour and stroke.
        where: Shown by the marker; empty: the marker shows `what`, too.
        values: One for each run, oldest first; None: not measured in that run.
    """

    what: str
    where: str
    values: list[float | None]

    @property
    def name(self) -> str:
        return f"{self.what}, {self.where}" if self.where else self.what

    @property
    def last(self) -> float | None:
        return self.values[-1]

    @property
    def before(self) -> list[float]:
        return [value for value in self.values[:-1] if value is not None]


def lateness(pasts: Sequence[Past]) -> Picture | None:
    """Draw how late each deadline was, in milliseconds.

    The values are the numbers whose name starts with `late_`.

    Returns:
        The picture; None if no run has such a number.
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    for index, past in enumerate(pasts):
        for row in past.rows:
            chosen = f" {row.chosen}" if row.chosen else ""
            for name, value in row.numbers.items():
                if name.startswith("late_") and math.isfinite(value):
                    # In seconds, unless the name says otherwise.
                    key = (
                        f"{row.number} {name.removeprefix('late_').removesuffix('_s')}{chosen}",
                        f"{row.endpoint}/{row.world}",
                    )
                    found.setdefault(key, {})[index] = (
                        value if name.endswith("_ms") else 1000 * value
                    )
    series = _series(found, len(pasts))
    if not series:
        return None
    return _over_time(
        pasts,
        series,
        _lateness_told(series),
        "after the deadline, ms",
        lambda value: f"{value:.0f} ms",
    )


def durations(pasts: Sequence[Past]) -> Picture | None:
    """Draw how long each notebook took: the median of its complete cells.

    Returns:
        The picture; None if no notebook ran to its end.
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    for index, past in enumerate(pasts):
        for notebook in dict.fromkeys(row.notebook for row in past.rows):
            rows = [row for row in past.rows if row.notebook == notebook and row.by_claims]
            if rows:
                name = f"{rows[0].number} {rows[0].title}"
                found.setdefault((name, ""), {})[index] = median(row.seconds for row in rows)
    series = sorted(_series(found, len(pasts)), key=lambda one: one.what)
    if not series:
        return None
    return _over_time(
        pasts,
        series,
        _durations_told(series),
        "seconds, median over its cells",
        lambda value: f"{value:.1f} s",
    )


def _series(found: dict[tuple[str, str], dict[int, float]], runs: int) -> list[Series]:
    return [
        Series(what, where, [values.get(index) for index in range(runs)])
        for (what, where), values in found.items()
    ]


def _lateness_told(series: list[Series]) -> str:
    """Return the finding: the latest value of the last run, and the latest before."""
    now = [(one.last, one.name) for one in series if one.last is not None]
    before = [value for one in series for value in one.before]
    if not now:
        return f"No lateness was measured in the last run; before, at most {max(before):.0f} ms"
    worst, name = max(now)
    told = (
        f"In the last run at most {worst:.0f} ms late ({name})"
        if worst > 0
        else "In the last run nothing was late"
    )
    return f"{told}; before, at most {max(before):.0f} ms" if before else told


def _durations_told(series: list[Series]) -> str:
    """Return the finding: the notebook that grew most, if one did."""
    now = [(one.last, one.what) for one in series if one.last is not None]
    if not now:
        return "No notebook ran to its end in the last run"
    longest = max(now)
    grown = [
        (one.last / median(one.before), one.what, one.last, median(one.before))
        for one in series
        if one.last is not None
        and one.before
        and one.last > max(SLOWER * median(one.before), median(one.before) + AT_LEAST)
    ]
    if grown:
        _, name, took, usual = max(grown)
        more = f"; {len(grown) - 1} more are slower" if len(grown) > 1 else ""
        return f"{name} took {took:.1f} s in the last run, before {usual:.1f} s{more}"
    told = f"{longest[1]} takes longest, {longest[0]:.1f} s"
    return (
        f"No notebook is slower than it was; {told}" if any(one.before for one in series) else told
    )


def _over_time(
    pasts: Sequence[Past],
    series: list[Series],
    title: str,
    label: str,
    words: Callable[[float], str],
) -> Picture:
    """Draw lines from run to run, with gaps where nothing was measured."""
    whats, wheres = (
        list(dict.fromkeys(getattr(one, name) for one in series)) for name in ("what", "where")
    )
    # Colour and stroke both change, so that the stroke tells lines apart if colours do not.
    looks = {
        what: (STROKES[index % len(STROKES)], COLOURS[index % len(COLOURS)])
        for index, what in enumerate(whats)
    }
    alone = wheres == [""]
    marks = {
        name: MARKERS[index % len(MARKERS)] for index, name in enumerate(whats if alone else wheres)
    }
    keys = len(whats) + (0 if alone else len(wheres) + 1)
    figure = canvas(width=10, height=max(3.6, 1.2 + 0.21 * keys), title=_plain(title))
    axes = figure.subplots()
    at = range(len(pasts))
    for one in series:
        stroke, colour = looks[one.what]
        shown = [math.nan if value is None else value for value in one.values]
        marker = marks[one.what if alone else one.where]
        axes.plot(
            at, shown, color=colour, linestyle=stroke, linewidth=1.1, marker=marker, markersize=5
        )
    measured = sorted(value for one in series for value in one.values if value is not None)
    if measured[-1] > WIDE * max(median(measured), 1e-9):
        axes.set_yscale("symlog", linthresh=max(abs(median(measured)), 1.0))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        label += " (logarithmic)"
    elif measured[0] >= 0:
        axes.set_ylim(bottom=0)
    axes.set_ylabel(label, fontsize=9)
    axes.set_xlabel("started (month-day hour:minute, UTC)", fontsize=9)
    step = math.ceil(len(pasts) / MOST_TICKS)
    ticks = list(at)[::-1][::step][::-1]  # the last run always has a tick
    axes.set_xticks(
        ticks,
        [short(pasts[index]) for index in ticks],
        rotation=45,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.5, len(pasts) - 0.5)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], color=looks[what][1], linestyle=looks[what][0], label=_plain(what),
               marker=marks[what] if alone else "")
        for what in whats
    ]  # fmt: skip
    if not alone:
        handles += [Line2D([], [], linestyle="none", label="")]
        handles += [
            Line2D(
                [], [], color=NEUTRAL, linestyle="none", marker=marks[where], label=_plain(where)
            )
            for where in wheres
        ]
    figure.legend(
        handles=handles, loc="outside right upper", frameon=False, fontsize=8, handlelength=3
    )
    last = [f"{one.name}: {words(one.last)}" for one in series if one.last is not None]
    runs = (
        f"{len(pasts)} runs from {short(pasts[0])} to {short(pasts[-1])}"
        if len(pasts) > 1
        else f"The run of {short(pasts[0])}"
    )
    return Picture(
        figure,
        f"{title}. {runs}; in the last of them: {'; '.join(last) or 'nothing was measured'}.",
    )


def short(past: Past) -> str:
    """Return the start of a run, in short."""
    day, _, time = past.started.partition("T")
    return f"{day[5:]} {time[:5]}"


def _plain(text: str) -> str:
    """Escape what matplotlib would take for a formula."""
    return text.replace("$", r"\$")
