"""The stepped view of a scope: its states, the loop's timers and the tasks."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream_lab.experiment.frames import STATES, Frame, TaskLine, frames
from stream_lab.experiment.scope import DONE, RUNNING, WAITING, Log
from stream_lab.experiment.stepped_page import page
from stream_lab.plots import EVENT, NEUTRAL, OK, Picture

QUIET = "#595959"
WIDTH = 8.0  # inches; so are all lengths here
TIMERS, TASKS = 3.15, 4.75  # where the columns begin
LINE, CAPTION, HEAD, GAP = 0.165, 0.19, 0.3, 0.14
PLACES = {
    "created": (0.38, 0.2),
    "active": (1.14, 0.2),
    "expiring": (1.92, 0.2),
    "expired": (2.74, 0.2),
    "finished": (1.92, 0.64),
}
ARROWS = (
    ("created", "active"),
    ("active", "expiring"),
    ("expiring", "expired"),
    ("active", "finished"),
)
DIAGRAM = 0.84
SIGNS = {RUNNING: ("▶", OK), WAITING: ("○", "black"), DONE: ("✓", NEUTRAL)}
LEGEND = "▶ running   ○ waiting   ✓ done   ★ the task that the scope remembers, and cancels"


def stepped(log: Log, *, title: str) -> Picture:
    """Draw the states, the loop's timers and the tasks at each step of a scope.

    A notebook shows a view to step through, as HTML without JavaScript. Print and a viewer without
    HTML get all frames as one image. No frame has a clock value, so two runs give the same frames
    if the same tasks take the same steps.

    Args:
        log: the observed scope; `Log.mark` adds steps of the body.
        title: the finding, as a sentence.
    """
    shown = frames(log)
    steps = " ".join(f"Step {number}: {frame}." for number, frame in enumerate(shown, 1))
    return Picture(_strip(shown, title), f"{title}. {steps}", page(shown, title))


def _strip(shown: Sequence[Frame], title: str) -> Figure:
    head = textwrap.wrap(title, 95)
    top = 0.12 + 0.2 * len(head) + 0.12
    height = top + 0.25 + sum(map(_height, shown)) + 0.1
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.text(0.08, 0.1, "\n".join(head), fontsize=11, va="top")
    axes.text(0.08, top, LEGEND, fontsize=8, va="top", color=QUIET)
    y = top + 0.25
    for number, frame in enumerate(shown, 1):
        _frame(axes, frame, number, y)
        y += _height(frame)
    return figure


def _caption(frame: Frame, number: int) -> list[str]:
    return textwrap.wrap(f"{number}. {frame.what}", 100)


def _body(frame: Frame) -> float:
    tasks = sum(1 + task.remembered for task in frame.tasks)
    return max(DIAGRAM, LINE * (1 + 2 * max(1, len(frame.timers))), LINE * (1 + tasks))


def _height(frame: Frame) -> float:
    captions = CAPTION * len(_caption(frame, 99)) + CAPTION * bool(frame.line)
    return GAP + captions + _body(frame) + GAP / 2


def _frame(axes: Axes, frame: Frame, number: int, y: float) -> None:
    axes.plot([0.08, WIDTH - 0.08], [y, y], color=NEUTRAL, linewidth=0.6)
    y += GAP / 2
    caption = _caption(frame, number)
    axes.text(0.08, y, "\n".join(caption), fontsize=9.5, va="top", fontweight="bold")
    y += CAPTION * len(caption) + 0.02
    if frame.line:
        method, _, line = frame.line.partition(": ")
        axes.text(0.25, y, f"Timeout.{method}:  {line}", fontsize=8, va="top", family="monospace")
        y += CAPTION
    _states(axes, frame, y, named=number == 1)
    _heading(axes, TIMERS, y, "the loop's timers")
    if not frame.timers:
        axes.text(TIMERS, y + LINE, "none", fontsize=8, va="top", color=QUIET)
    for row, timer in enumerate(frame.timers):
        axes.text(
            TIMERS, y + LINE * (1 + 2 * row), timer.replace(": ", "\n  ", 1), fontsize=8, va="top"
        )
    _heading(axes, TASKS, y, "the tasks")
    y += LINE
    for task in frame.tasks:
        y = _task(axes, task, y)


def _heading(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y, text, fontsize=8, va="top", color=QUIET, style="italic")


def _states(axes: Axes, frame: Frame, y: float, *, named: bool) -> None:
    for start, end in ARROWS:
        passed = start in frame.seen and end in frame.seen
        (x1, y1), (x2, y2) = PLACES[start], PLACES[end]
        level = y1 == y2
        axes.annotate(
            "",
            (x2 - 0.3, y + y2),
            xytext=(x1 + 0.28, y + y1) if level else (x1 + 0.24, y + y1 + 0.1),
            arrowprops={
                "arrowstyle": "-|>,head_length=0.3,head_width=0.15",
                "color": "black" if passed else NEUTRAL,
                "lw": 1.2 if passed else 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
    for name, (x, down) in PLACES.items():
        present, seen = name == frame.state, name in frame.seen
        axes.text(
            x,
            y + down,
            name,
            fontsize=8,
            ha="center",
            va="center",
            color="white" if present else "black" if seen else QUIET,
            bbox={
                "boxstyle": "round,pad=0.35",
                "facecolor": OK if present else "white",
                "edgecolor": OK if present else "black" if seen else NEUTRAL,
                "linewidth": 1.0 if seen else 0.7,
            },
        )
        if named:
            axes.text(
                x,
                y + down + 0.14,
                STATES[name],
                fontsize=6,
                ha="center",
                va="top",
                color=QUIET,
                family="monospace",
            )


def _task(axes: Axes, task: TaskLine, y: float) -> float:
    """Draw a task, and return where the next one goes."""
    sign, colour = SIGNS[task.doing]
    text = QUIET if task.doing == DONE else "black"
    weight = "bold" if task.pulls else "normal"
    axes.text(TASKS, y, sign, fontsize=8, va="top", color=colour)
    axes.text(TASKS + 0.17, y, task.activity, fontsize=8, va="top", color=text, fontweight=weight)
    axes.text(
        WIDTH - 0.08,
        y,
        task.count,
        fontsize=7.5,
        va="top",
        ha="right",
        color=EVENT if task.cancelling else QUIET,
    )
    y += LINE
    if task.remembered:
        axes.text(TASKS + 0.17, y, task.mark, fontsize=7.5, va="top", color=EVENT)
        y += LINE
    return y
