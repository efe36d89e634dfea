"""The picture of a scope's states over time, with the cancellations of its task."""

from collections.abc import Sequence

from stream_lab.experiment.frames import STATES
from stream_lab.experiment.scope import Event
from stream_lab.plots import EVENT, OK, Picture, canvas, seconds


def scope_states(events: Sequence[Event], *, title: str) -> Picture:
    """Draw the states of one `asyncio.timeout`, and the cancellations that its task has pending.

    Args:
        events: the steps of one scope.
        title: the finding, as a sentence.
    """
    figure = canvas(height=3.6, title=title)
    states, pending = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
    end = events[-1].at * 1.12 + 0.01
    at = [*(event.at for event in events), end]
    ladder = list(STATES)
    alone = len({event.task for event in events} - {0}) < 2
    levels = [ladder.index(event.state) for event in events]
    states.step(at, [*levels, levels[-1]], where="post", color=OK, linewidth=2.5)
    for event, level in zip(events, levels, strict=True):
        states.plot(
            event.at, level, "o", color=EVENT if event.what == "timer fired" else OK, zorder=3
        )
        near_end = event.at / end + 0.013 * len(_step(event, alone)) > 1
        states.annotate(
            _step(event, alone),
            (event.at, level),
            xytext=(-7 if near_end else 7, 4),
            textcoords="offset points",
            fontsize=9,
            ha="right" if near_end else "left",
        )
    states.set_yticks(range(len(ladder)), [_named(state) for state in ladder])
    states.set_ylim(-0.5, len(ladder) - 0.3)
    counts = [event.cancelling for event in events]
    pending.step(at, [*counts, counts[-1]], where="post", color=EVENT, linewidth=2)
    pending.set_yticks([0, 1])
    pending.set_ylim(-0.2, 1.4)
    remembered = next((event.remembered for event in events if event.remembered), 0)
    pending.set_ylabel(f"cancelling()\nof task {remembered}", fontsize=9)
    for axes in (states, pending):
        axes.spines[["top", "right"]].set_visible(False)
    pending.set_xlim(0, end)
    seconds(pending, "seconds since the scope was made")
    steps = ", ".join(
        f"{_step(event, alone)} ({event.state}, cancelling {event.cancelling})" for event in events
    )
    return Picture(figure, f"{title}. The scope remembers task {remembered}. Steps: {steps}.")


def _step(event: Event, alone: bool) -> str:
    """Return the step, with its task unless one task does all steps alone."""
    if event.what != "timer fired":
        return event.what if alone else f"{event.what}, in task {event.task}"
    ended = ", which has ended" if event.remembered_done else ""
    return f"timer fired, cancels task {event.remembered}{ended}"


def _named(state: str) -> str:
    """Return asyncio's word for a state; where its source has another name, with that name."""
    name = STATES[state]
    return state if name == state.upper() else f"{state} ({name})"
