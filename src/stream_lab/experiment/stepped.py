"""The stepped view of a scope: its states, the loop's timers and the tasks, step by step."""

import html

from matplotlib.figure import Figure

from stream_lab.experiment.scope import Log
from stream_lab.plots import Picture


def stepped(log: Log, *, title: str) -> Picture:
    """Draw a frame for each step of a scope.

    A notebook shows a view to step through, as HTML without JavaScript. Print and a viewer without
    HTML get all frames as one image.

    Args:
        log: the observed scope.
        title: the finding, as a sentence.
    """
    steps = [f"{event.what}: {event.state}, task {event.task}" for event in log.events]
    figure = Figure(figsize=(8, 0.6 + 0.3 * len(steps)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_ylim(len(steps), -1)
    for row, step in enumerate(steps):
        axes.text(0, row, step, fontsize=9)
    items = "".join(f"<li>{html.escape(step)}</li>" for step in steps)
    page = f"<div><p>{html.escape(title)}</p><ol>{items}</ol></div>"
    return Picture(figure, f"{title}. Steps: {'; '.join(steps)}.", page)
