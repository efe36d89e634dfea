"""The picture of answers over HTTP."""

from collections.abc import Mapping, Sequence

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


def answers(answers: Mapping[str, Capture], *, title: str, together: int = 1) -> Picture:
    """Draw when the pieces of answers reached their clients, a row for each answer.

    A black bar shows where an answer ended, a cross where it was cut, an arrow where it was still
    open when the watch ended. An answer that stood still says for how long.

    Args:
        answers: the answers by name.
        title: the finding, as a sentence.
        together: how many rows, one after the other, share a clock. It starts at the first of their
            requests.
    """
    figure, axes = single(height=1.4 + 0.5 * len(answers), title=title)
    rows = []
    begun = _begun(list(answers.values()), together)
    for row, ((name, answer), since) in enumerate(zip(answers.items(), begun, strict=True)):
        ended = since + answer.ended
        axes.plot([since, ended], [row, row], color=NEUTRAL, linewidth=1, zorder=1)
        if together > 1:
            axes.plot(since, row, "o", color="none", markeredgecolor=NEUTRAL, label="its request")
        dots(axes, [since + at for at, _ in answer.pieces], row, OK, "o", "a piece comes")
        marker, colour, size, width, label = _ENDS[answer.end if answer.end in _ENDS else WHOLE]
        axes.plot(
            ended,
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
            (ended, row),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
        sent = f"sent at {since:.1f} s, " if since else ""
        rows.append(f"{name}: {sent}{how}, {ended:.1f} s")
    axes.set_yticks(range(len(answers)), list(answers))
    axes.set_ylim(len(answers) - 0.5, -0.5)
    last = max(at + answer.ended for at, answer in zip(begun, answers.values(), strict=True))
    axes.set_xlim(0 if together == 1 else -0.02 * last, last * 1.35)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    seconds(
        axes, f"seconds since the {'request' if together == 1 else 'first request of each group'}"
    )
    legend(figure, axes)
    return Picture(
        figure, f"{title}. When the pieces of each answer reached its client. {'. '.join(rows)}."
    )


def _begun(answers: Sequence[Capture], together: int) -> list[float]:
    """Return when each request was sent, in seconds since the first of its group."""
    groups = [answers[at : at + together] for at in range(0, len(answers), together)]
    return [each.began - min(other.began for other in group) for group in groups for each in group]
