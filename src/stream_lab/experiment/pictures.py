"""The experiments' pictures, drawn from records; each alternative text says the same in words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from stream_lab.experiment.call import Call
from stream_lab.experiment.release import GOES_ON, Release
from stream_lab.experiment.state_ladder import scope_states
from stream_lab.experiment.stepped import stepped
from stream_lab.experiment.swim_lanes import swim_lanes
from stream_lab.experiment.trace import Ending
from stream_lab.experiment.verdict import Server
from stream_lab.experiment.wait import Wait
from stream_lab.plots import (
    CLOSE,
    DEADLINE,
    EVENT,
    GOOD,
    LATE,
    NEUTRAL,
    OK,
    Picture,
    canvas,
    dots,
    legend,
    seconds,
    single,
    whole_numbers,
)

if TYPE_CHECKING:  # that module imports LangChain, which not every notebook needs
    from stream_lab.experiment.attempts_run import Trial

__all__ = [
    "at_work",
    "left_alone",
    "overdue",
    "scope_states",
    "server_load",
    "stepped",
    "swim_lanes",
    "timeline",
]


def timeline(calls: Mapping[str, Call], *, title: str) -> Picture:
    """Draw when chunks reached the consumer, a row for each call.

    A blue dot is a chunk before the deadline, an orange cross is a chunk after it.

    Args:
        calls: the calls by name; all have the deadline of the first.
        title: the finding, as a sentence.
    """
    deadline = next(iter(calls.values())).deadline
    figure, axes = single(height=1.5 + 0.75 * len(calls), title=title)
    end = max([deadline, *(call.recording.ended for call in calls.values())])
    for row, call in enumerate(calls.values()):
        arrivals, ended = call.recording.arrivals, call.recording.ended
        axes.plot([0, ended], [row, row], color=NEUTRAL, linewidth=1, zorder=1)
        dots(
            axes,
            [at for at in arrivals if at <= deadline + CLOSE],
            row,
            OK,
            "o",
            "chunk before the deadline",
        )
        dots(
            axes,
            [at for at in arrivals if at > deadline + CLOSE],
            row,
            LATE,
            "X",
            "chunk after the deadline",
        )
        axes.plot([ended, ended], [row - 0.22, row + 0.22], color=DEADLINE, linewidth=2.5)
        axes.annotate(
            _ending(call),
            (ended, row),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.axvline(deadline, color=DEADLINE, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"deadline {deadline:g} s",
        (deadline, -0.6),
        ha="center",
        va="bottom",
        fontsize=9,
        annotation_clip=False,
    )
    axes.set_yticks(range(len(calls)), list(calls))
    axes.set_ylim(len(calls) - 0.45, -0.6)
    axes.set_xlim(0, end * 1.42)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    seconds(axes)
    legend(figure, axes)
    rows = [
        f"{name}: {call.recording.chunks_after(deadline)} chunks after it, {_ending(call)}"
        for name, call in calls.items()
    ]
    return Picture(
        figure, f"{title}. Chunk arrivals against a deadline of {deadline:g} s. {'. '.join(rows)}."
    )


def server_load(calls: Mapping[str, Call], *, title: str) -> Picture:
    """Draw requests running, and tokens made since the call, a column for each call."""
    shown = {name: call for name, call in calls.items() if call.samples}
    if not shown:
        figure, axes = single(height=1.2, title=title)
        axes.set_axis_off()
        axes.text(0, 0.5, "The server shows no metrics, so there is nothing to draw.", fontsize=10)
        return Picture(figure, f"{title}. The server shows no metrics.")
    figure = canvas(height=1.0 + 2.6 * len(shown), title=title)
    grid = figure.subplots(
        2 * len(shown), 1, sharex=True, squeeze=False, height_ratios=[1, 2] * len(shown)
    )[:, 0]
    most = max(
        sample.tokens - call.samples[0].tokens for call in shown.values() for sample in call.samples
    )
    alts = []
    for row, (name, call) in enumerate(shown.items()):
        running, tokens = grid[2 * row], grid[2 * row + 1]
        _load(running, tokens, call)
        tokens.set_ylim(-0.03 * max(most, 1), 1.1 * max(most, 1))
        running.set_title(name, fontsize=9, loc="left")
        alts.append(
            f"{name}: {call.server}, "
            f"{call.tokens_after_deadline} tokens after the deadline of {call.deadline:g} s, "
            f"{_left(call)} at {call.recording.ended:.1f} s"
        )
    grid[-1].set_xlim(0, max(call.samples[-1].at for call in shown.values()))
    seconds(grid[-1])
    legend(figure, *grid)
    return Picture(figure, f"{title}. {'. '.join(alts)}.")


def _load(running: Axes, tokens: Axes, call: Call) -> None:
    """Draw the requests that run and, below them, the tokens made."""
    at = [sample.at for sample in call.samples]
    made = [sample.tokens - call.samples[0].tokens for sample in call.samples]
    running.fill_between(
        at, [sample.running for sample in call.samples], step="post", color=OK, alpha=0.35
    )
    running.set_ylim(0, 1.1 * max(1, *(sample.running for sample in call.samples)))
    whole_numbers(running.yaxis)
    # The lines meet at the deadline, which lies between two samples.
    turn = sum(moment <= call.deadline for moment in at)
    meet_at = [min(call.deadline, at[-1])]
    meet = [float(np.interp(call.deadline, at, made))]
    tokens.plot(
        at[:turn] + meet_at, made[:turn] + meet, linewidth=2, color=OK, label="before the deadline"
    )
    tokens.plot(
        meet_at + at[turn:],
        meet + made[turn:],
        linewidth=2,
        color=LATE,
        linestyle=(0, (4, 1)),
        label="after the deadline",
    )
    whole_numbers(tokens.yaxis)
    # A line that hides another would leave one name of the legend without its line.
    at_once = abs(call.recording.ended - call.deadline) < CLOSE
    for axes in (running, tokens):
        axes.axvline(
            call.deadline,
            color=DEADLINE,
            linestyle="--",
            linewidth=1.2,
            label=f"the deadline: {_left(call)}" if at_once else "deadline",
        )
        if not at_once:
            axes.axvline(call.recording.ended, color=EVENT, linewidth=1.6, label=_left(call))
        axes.spines[["top", "right"]].set_visible(False)
    running.set_ylabel("requests\nrunning", fontsize=9)
    tokens.set_ylabel("tokens made", fontsize=9)


def _left(call: Call) -> str:
    """Return what ended the exchange, in words."""
    match call.recording.ending:
        case Ending.FINISHED:
            return "the answer ended"
        case Ending.GAVE_UP:
            return "the client disconnected"
        case Ending.CUT | Ending.FAILED:
            return "the call raised its error"


def left_alone(requests: Mapping[str, Release], *, title: str) -> Picture:
    """Draw how long the GPU works for clients that disconnect, a row for each.

    A bar is blue until the client disconnects, orange and hatched after that. An arrow ends a bar
    where the server was still working when the watch ended.
    """
    figure, axes = single(height=1.4 + 0.42 * len(requests), title=title)
    rows = []
    for row, (name, request) in enumerate(requests.items()):
        end = request.watched if request.freed is None else request.freed
        axes.barh(row, request.left, height=0.6, color=OK, label="for its caller")
        # The least width keeps a bar visible that is as short as it should be.
        axes.barh(
            row,
            max(end - request.left, 0.004),
            left=request.left,
            height=0.6,
            color=LATE,
            hatch="///",
            edgecolor="white",
            label="after its caller left",
        )
        words = request.server
        if request.freed is None and request.server == GOES_ON:
            # The bar has an open end: the watch ended here, and the work did not.
            axes.plot(end, row, marker=">", markersize=13, color=LATE, clip_on=False, zorder=3)
            words += "; watched until here"
        axes.annotate(
            words,
            (end, row),
            xytext=(12, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
        rows.append(f"{name}: {words}")
    axes.set_yticks(range(len(requests)), list(requests))
    axes.set_ylim(len(requests) - 0.5, -0.5)
    axes.set_xlim(0, max(request.watched for request in requests.values()) * 1.6)
    axes.tick_params(axis="y", length=0)
    seconds(axes, "seconds since the request")
    legend(figure, axes)
    return Picture(
        figure, f"{title}. What the GPU server does after the caller has left. {'. '.join(rows)}."
    )


def overdue(waits: Mapping[str, Wait], *, title: str) -> Picture:
    """Draw how long each wait lasted, a row for each.

    A bar is blue until the wait was due, orange and hatched until it was over.
    """
    figure, axes = single(height=1.4 + 0.42 * len(waits), title=title)
    rows = []
    for row, (name, wait) in enumerate(waits.items()):
        axes.barh(
            row, min(wait.due, wait.over), height=0.6, color=OK, label="as long as it should last"
        )
        # The least width keeps a bar visible that is as short as it should be.
        axes.barh(
            row,
            max(wait.over - wait.due, 0.004),
            left=wait.due,
            height=0.6,
            color=LATE,
            hatch="///",
            edgecolor="white",
            label="longer than that",
        )
        words = f"{wait.verdict}: due at {wait.due:.1f} s, over at {wait.over:.1f} s"
        axes.annotate(f" {words}", (max(wait.over, wait.due), row), va="center", fontsize=9)
        rows.append(f"{' '.join(name.split())}: {words}")
    axes.set_yticks(range(len(waits)), list(waits))
    axes.set_ylim(len(waits) - 0.5, -0.5)
    axes.set_xlim(0, max(wait.over for wait in waits.values()) * 1.6)
    axes.tick_params(axis="y", length=0)
    seconds(axes, "seconds since it began")
    legend(figure, axes)
    return Picture(figure, f"{title}. How long each wait lasted. {'. '.join(rows)}.")


def at_work(trials: Sequence["Trial"], *, title: str) -> Picture:
    """Draw tokens per second, the GPU's utilisation and the cut for each trial.

    Args:
        trials: the trials.
        title: further words; the finding, which the trials give, comes before them.
    """
    at_work = sum(trial.call.server == Server.RAN_ON for trial in trials)
    finding = f"Past the deadline the server works on under {at_work} of {len(trials)} attempts"
    if not title.startswith(finding):
        title = f"{finding}\n{title}"
    figure = canvas(height=1.0 + 1.25 * len(trials), title=title)
    rows = list(figure.subplots(len(trials), 1, sharex=True, squeeze=False)[:, 0])
    most = max([1.0, *(rate for trial in trials for _, rate in trial.rates)])
    for axes, trial in zip(rows, trials, strict=True):
        call = trial.call
        if trial.rates:
            at, rates = zip((call.samples[0].at, 0.0), *trial.rates, strict=True)
            axes.fill_between(
                at, rates, step="pre", color=OK, alpha=0.35, linewidth=0, label="tokens a second"
            )
        axes.axvline(call.deadline, color=DEADLINE, linestyle="--", linewidth=1.2, label="deadline")
        axes.axvline(
            call.recording.ended, color=EVENT, linewidth=2, label="the caller was cut, or left"
        )
        axes.set_ylim(0, most * 1.15)
        axes.set_ylabel("tokens/s", fontsize=8)
        axes.set_title(
            f"{trial.attempt}, {trial.way}: {call.verdict}; the server: {call.server}",
            loc="left",
            fontsize=9,
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if busy := [
            (sample.at, sample.utilisation)
            for sample in trial.gpu
            if sample.utilisation is not None
        ]:
            _gpu_line(axes, busy)
    last = max(
        max([trial.call.deadline, trial.call.recording.ended, *(at for at, _ in trial.rates)])
        for trial in trials
    )
    rows[-1].set_xlim(0, last)
    seconds(rows[-1])
    legend(figure, rows[0])
    sentences = [
        f"{trial.attempt} in {trial.way}: {trial.call.verdict} "
        f"after {trial.call.recording.ended:.1f} s, the server: {trial.call.server}"
        + (f", the GPU {trial.gpu_after}" if trial.gpu_after else "")
        for trial in trials
    ]
    return Picture(figure, f"{title}. {'. '.join(sentences)}.")


def _gpu_line(axes: Axes, busy: list[tuple[float, float]]) -> None:
    """Draw how busy the GPU was, on a scale of its own at the right."""
    label = "GPU busy, %"
    scale = axes.twinx()
    scale.plot(*zip(*busy, strict=True), color=GOOD, linewidth=1.4)
    scale.set_ylim(0, 115)
    scale.set_ylabel("GPU, %", fontsize=8)
    scale.tick_params(labelsize=8)
    scale.spines["top"].set_visible(False)
    axes.plot([], [], color=GOOD, linewidth=1.4, label=label)


def _ending(call: Call) -> str:
    recording = call.recording
    match recording.ending:
        case Ending.GAVE_UP:
            return (
                f"still streaming; we left at {recording.ended:.1f} s"
                if recording.chunks_after(call.deadline)
                else f"silent; we left at {recording.ended:.1f} s"
            )
        case Ending.FINISHED:
            return f"the model stopped by itself at {recording.ended:.1f} s"
        case Ending.CUT | Ending.FAILED:
            return f"{recording.error.partition(':')[0]} at {recording.ended:.1f} s"
