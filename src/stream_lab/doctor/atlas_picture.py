"""The map of a path: its layers, and their limits on an axis of time."""

import math

from matplotlib.axes import Axes

from stream_lab.doctor.atlas import KINDS, Fired, Stack, Stream, Verdict, as_heard
from stream_lab.doctor.limits import Bounds, Limit
from stream_lab.plots import DEADLINE, EVENT, NEUTRAL, OK, Picture, legend, seconds, single

MARKERS: dict[Bounds, str] = {"first_byte": ">", "idle": "s", "total": "D"}
OFFSETS: dict[Bounds, float] = {"first_byte": -0.22, "idle": 0.0, "total": 0.22}
"""Where a marker stands in its row, so that limits of the same length do not hide each other."""
TOP = -0.8
"""The row of the stream's own times."""
SHORTEST, LONGEST = 0.5, 20_000.0
"""The ends of the axis in seconds; beyond them stands what is off, or never comes."""
OFF = 60_000.0


def draw(verdict: Verdict, title: str) -> Picture:
    """Draw the limits of a path, and the one that ends the stream.

    Args:
        verdict: the path, the stream, and the limits that fire.
        title: the finding, in a sentence.
    """
    path = verdict.stack
    rows = len(path.layers)
    figure, axes = single(height=1.9 + 0.42 * rows, title=title)
    for row, layer in enumerate(path.layers):
        for limit in layer.limits:
            if limit.counts != "unread":
                _limit(axes, row, limit, path.seconds(limit))
    for each in verdict.race:
        _highlight(axes, each, path.layers.index(each.layer))
    _stream(axes, verdict)
    axes.set_xscale("log")
    axes.set_xlim(SHORTEST, OFF * 2.2)
    marks = [1, 10, 60, 600, 3600]
    axes.set_xticks([*marks, OFF], ["1 s", "10 s", "1 min", "10 min", "1 h", "no limit"])
    axes.minorticks_off()
    axes.axvspan(LONGEST, OFF * 2.2, color=NEUTRAL, alpha=0.12, linewidth=0)
    axes.set_yticks([TOP, *range(rows)], ["the stream", *(layer.name for layer in path.layers)])
    axes.set_ylim(rows - 0.4, -1.3)
    seconds(axes, "in each row, a limit fires if it is left of the black marker of its own shape")
    for kind, words in KINDS.items():
        axes.scatter([], [], marker=MARKERS[kind], color=OK, s=50, label=f"limit: {words}")
    axes.scatter(
        [],
        [],
        marker="o",
        s=220,
        facecolor="none",
        edgecolor=EVENT,
        label="fires first",
        linewidths=2,
    )
    legend(figure, axes)
    return Picture(figure, f"{title}. {alternative(verdict)}")


def alternative(verdict: Verdict) -> str:
    """Return the map in words: the stream, each layer's limits, and which fires first."""
    stream = verdict.stream
    end = "it never ends" if stream.never_ends else f"{stream.total:g} s in all"
    if stream.comments is not None:
        end += f", with a comment every {stream.comments:g} s"
    said = [
        f"A map of {len(verdict.stack.layers)} layers from the client to the model, for a stream "
        f"with {stream.first:g} s to the first byte, a pause of {stream.pause:g} s, and {end}."
    ]
    said += [
        f"{layer.name}: {_limits_of(verdict.stack, place)}."
        for place, layer in enumerate(verdict.stack.layers)
    ]
    first = verdict.first
    said.append(f"First to fire: {first.words}." if first else "No limit fires.")
    return " ".join(said)


def _limits_of(path: Stack, place: int) -> str:
    found = [
        f"{KINDS[limit.bounds]} {value:g} s"
        for limit in path.layers[place].limits
        if (value := path.seconds(limit)) is not None and limit.counts != "unread"
    ]
    return ", ".join(found) or "no limit"


def _limit(axes: Axes, row: int, limit: Limit, value: float | None) -> None:
    """Draw one limit: filled where it is set, hollow where it is off."""
    colour = NEUTRAL if value is None else OK
    axes.scatter(
        [OFF if value is None else _inside(value)],
        [row + OFFSETS[limit.bounds]],
        marker=MARKERS[limit.bounds],
        s=50,
        facecolor="none" if value is None else colour,
        edgecolor=colour,
        zorder=3,
    )


def _highlight(axes: Axes, fired: Fired, row: int) -> None:
    """Put a ring around a limit that ends the stream."""
    axes.scatter(
        [_inside(fired.setting)],
        [row + OFFSETS[fired.limit.bounds]],
        s=230,
        facecolor="none",
        edgecolor=EVENT,
        linewidths=2,
        zorder=4,
    )


def _stream(axes: Axes, verdict: Verdict) -> None:
    """Draw the stream's own times, in each row as its layer sees them."""
    for kind, value in _times(verdict.stream).items():
        axes.scatter([value], [TOP], marker=MARKERS[kind], s=50, color=DEADLINE, zorder=5)
    if verdict.stream.comments is not None:
        at = _inside(verdict.stream.comments)
        axes.scatter([at], [TOP], marker=".", s=60, color=DEADLINE, zorder=5)
        axes.annotate("comments", (at, TOP), (0, 6), textcoords="offset points", ha="center",
                      fontsize=8)  # fmt: skip
    for row in range(len(verdict.stack.layers)):
        heard = as_heard(verdict.stack, row, verdict.stream)
        for kind, value in _times(heard).items():
            axes.vlines(
                value, row - 0.5, row + 0.5, color=DEADLINE, linewidth=1, linestyle=":", zorder=1
            )
            axes.scatter(
                [value], [row + OFFSETS[kind]], marker=MARKERS[kind], s=14, color=DEADLINE, zorder=2
            )


def _times(stream: Stream) -> dict[Bounds, float]:
    """Return the places of a stream's times on the axis, by their bounds."""
    given: dict[Bounds, float] = {
        "first_byte": stream.first,
        "idle": stream.pause,
        "total": stream.total,
    }
    return {
        kind: OFF if math.isinf(value) else _inside(value)
        for kind, value in given.items()
        if value > 0
    }


def _inside(value: float) -> float:
    """Return a time that the axis can show."""
    return min(max(value, SHORTEST * 1.15), LONGEST * 0.85)
