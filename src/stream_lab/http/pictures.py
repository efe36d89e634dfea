"""The picture of answers over HTTP."""

from collections.abc import Mapping

from stream_lab.http.capture import CUT, OPEN, STOOD_STILL, WHOLE, Capture
from stream_lab.plots import (
    DEADLINE,
    EVENT,
    LATE,
    NEUTRAL,
    OK,
    Picture,
    dots,
    legend,
    seconds,
    single,
)

_ENDS = {
    WHOLE: ("|", DEADLINE, 16, 2.5, "its end"),
    CUT: ("X", EVENT, 11, 0.8, "cut"),
    OPEN: (">", LATE, 10, 0.8, "still open, watched until here"),
}


def answers(answers: Mapping[str, Capture], *, title: str) -> Picture:
    """Draw when the pieces of answers reached their clients, a row for each answer.

    A black bar shows where an answer ended, a cross where it was cut, an arrow where it was still
    open when the watch ended. An answer that stood still for most of its time says for how long.
    """
    figure, axes = single(height=1.4 + 0.5 * len(answers), title=title)
    rows = []
    for row, (name, answer) in enumerate(answers.items()):
        axes.plot([0, answer.ended], [row, row], color=NEUTRAL, linewidth=1, zorder=1)
        dots(axes, [at for at, _ in answer.pieces], row, OK, "o", "a piece comes")
        marker, colour, size, width, label = _ENDS[answer.end if answer.end in _ENDS else WHOLE]
        axes.plot(
            answer.ended,
            row,
            marker=marker,
            color=colour,
            markersize=size,
            markeredgewidth=width,
            linestyle="none",
            zorder=1.5,  # behind the last piece, which often comes with the end
            label=label,
        )
        how = answer.end if answer.end != WHOLE else f"{answer.end}, {answer.manner}"
        if answer.end == WHOLE and answer.manner == STOOD_STILL:
            how += f" of {answer.pause:.1f} s"
        axes.annotate(
            how,
            (answer.ended, row),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
        rows.append(f"{name}: {how}, {answer.ended:.1f} s")
    axes.set_yticks(range(len(answers)), list(answers))
    axes.set_ylim(len(answers) - 0.5, -0.5)
    axes.set_xlim(0, max(answer.ended for answer in answers.values()) * 1.35)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    seconds(axes, "seconds since the request")
    legend(figure, axes)
    return Picture(
        figure, f"{title}. When the pieces of each answer reached its client. {'. '.join(rows)}."
    )
