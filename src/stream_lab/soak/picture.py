"""The lateness of a soak as a picture."""

from stream_lab.plots import EVENT, GOOD, LATE, NEUTRAL, OK, Picture, legend, single
from stream_lab.soak.result import GROUPS, Result, percentile

SHARES = (1, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 100)
LEAST = 0.1  # milliseconds; less is drawn as this
STYLES = [(OK, "-"), (GOOD, "--"), (EVENT, "-."), (LATE, ":"), (NEUTRAL, "-"), ("#CC79A7", "--")]


def lateness(result: Result) -> Picture:
    """Draw how late the calls of each group were, the most punctual first."""
    title = f"{result.calls} calls: how late they ended"
    figure, axes = single(height=4.2, title=title)
    shown = []
    for name, (colour, line) in zip(GROUPS, STYLES, strict=True):
        values = result.late[name]
        if not values:
            continue
        late = [max(LEAST, percentile(values, share) * 1000) for share in SHARES]
        axes.plot(range(len(SHARES)), late, line, color=colour, label=name, marker=".")
        shown.append(f"{name}: half within {late[3]:.1f} ms, all within {late[-1]:.0f} ms")
    axes.set_yscale("log")
    axes.set_xticks(range(len(SHARES)), [f"{share:g} %" for share in SHARES], fontsize=8)
    axes.set_xlabel("of the calls end at most this late", fontsize=9)
    axes.set_ylabel("milliseconds", fontsize=9)
    axes.grid(color=NEUTRAL, alpha=0.2)
    if shown:
        legend(figure, axes)
    return Picture(figure, f"{title}. {'. '.join(shown)}.")
