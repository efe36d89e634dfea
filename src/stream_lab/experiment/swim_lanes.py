"""The picture of swim lanes: which task of a call pulled which chunk, and when."""

from matplotlib.axes import Axes

from stream_lab.experiment.call import Call
from stream_lab.experiment.scope import Log
from stream_lab.experiment.trace import Ending, Pull
from stream_lab.plots import (
    CLOSE,
    DEADLINE,
    EVENT,
    GOOD,
    LATE,
    OK,
    Picture,
    legend,
    seconds,
    single,
)

MOST_LANES = 60
LABELS = 10  # at most, so that they do not touch
VISIBLE = 0.006  # the least width of a bar, as a fraction of the axis


def swim_lanes(call: Call, log: Log, *, title: str, most: int = MOST_LANES) -> Picture:
    """Draw one lane for each task that pulled a chunk.

    A cross shows where the timer cancelled the task that the scope had remembered.

    Args:
        call: the call.
        log: the observed scope of this call.
        title: the finding, as a sentence.
        most: how many lanes to draw; of more tasks, an even selection is shown.
    """
    recording, deadline = call.recording, call.deadline
    every = sorted({pull.task for pull in recording.pulls})
    shown = every if len(every) <= most else _spread(every, most)
    lanes = {task: lane for lane, task in enumerate(shown)}
    figure, axes = single(height=max(2.2, 1.3 + 0.115 * len(shown)), title=title)
    thin = 0.7 if len(shown) > 3 else 0.5
    for pull in recording.pulls:
        if pull.task in lanes:
            _bar(axes, pull, lanes[pull.task], call, thin)
    if log.find("entered") and recording.pulls:
        axes.plot(
            recording.pulls[0].asked,
            0,
            marker=">",
            markersize=9,
            color=GOOD,
            zorder=5,
            linestyle="none",
            label="opens the scope",
            clip_on=False,
        )
    fired = log.find("timer fired")
    target = ""
    if fired is not None and lanes:
        target = (
            "which had already finished"
            if fired.remembered_done
            else "which was waiting for a chunk"
        )
        axes.plot(deadline, 0, marker="X", markersize=12, color=EVENT, zorder=5, linestyle="none")
        axes.annotate(
            f"the timer cancels the task that opened the scope,\n{target}",
            (deadline, 0),
            xytext=(14, 5),
            textcoords="offset points",
            va="top",
            fontsize=9,
            color=EVENT,
        )
    axes.axvline(deadline, color=DEADLINE, linestyle="--", linewidth=1.2)
    step = max(1, -(-len(shown) // LABELS))
    axes.set_yticks(range(0, len(shown), step), [f"task {task}" for task in shown[::step]])
    axes.set_ylim(len(shown) - 0.4, -1.0)
    if len(shown) < len(every):
        axes.set_ylabel(f"{len(shown)} of {len(every)} tasks, evenly chosen", fontsize=9)
    axes.set_xlim(
        0,
        max(recording.ended, deadline) * 1.45
        if len(shown) <= 3
        else max(recording.ended, deadline) * 1.05,
    )
    seconds(axes)
    legend(figure, axes)
    count = f"{len(every)} tasks" if len(every) > 1 else "one task"
    alt = (
        f"{title}. {count} pulled {recording.chunks} chunks in {recording.ended:.1f} s; "
        f"the deadline was {deadline:g} s."
    )
    return Picture(
        figure,
        f"{alt} The timer cancelled the task that opened the scope, {target}." if target else alt,
    )


WAITS = {
    Ending.GAVE_UP: "waiting for a chunk when we left",
    Ending.CUT: "waiting for a chunk when it was cut",
    Ending.FAILED: "waiting for a chunk when the call failed",
    Ending.FINISHED: "asked for a chunk; there were no more",
}
"""How a pull without a chunk ended."""


def _bar(axes: Axes, pull: Pull, lane: int, call: Call, thickness: float) -> None:
    ended, deadline = call.recording.ended, call.deadline
    waiting = pull.got is None
    until = ended if pull.got is None else pull.got
    late = until > deadline + CLOSE and not waiting
    label = (
        WAITS[call.recording.ending]
        if waiting
        else "pulled a chunk late"
        if late
        else "pulled a chunk"
    )
    colour = LATE if late else OK
    length, least = until - pull.asked, max(ended, deadline) * VISIBLE
    # Drawn to scale, the pull of a fast server would be invisible.
    edge = 0.8 if waiting else 0.4 if length > least else 0
    axes.barh(
        lane,
        max(length, least),
        left=pull.asked,
        height=thickness,
        color="none" if waiting else colour,
        edgecolor=colour if waiting else "white",
        hatch="////" if waiting else None,
        linewidth=edge,
        label=label,
    )


def _spread(items: list[int], most: int) -> list[int]:
    """Return `most` of the items, evenly spread, with the first and the last."""
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
