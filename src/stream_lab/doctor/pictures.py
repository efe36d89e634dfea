"""The picture of diagnoses: layers from client to model, and the one to blame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.patches import FancyBboxPatch

from stream_lab.doctor.diagnosis import Cause
from stream_lab.doctor.examine import Examination
from stream_lab.plots import EVENT, GOOD, LATE, NEUTRAL, Picture, single

WIDE, HIGH, APART = 1.5, 0.5, 2.1
"""The size of a box, and the distance from one to the next; rows are 1 apart."""


@dataclass(frozen=True)
class Case:
    """One examined stack.

    Attributes:
        layers: its layers from the client inwards, such as "gateway" and "application".
        examination: what the doctor found.
    """

    layers: Sequence[str]
    examination: Examination

    @property
    def blamed(self) -> list[str]:
        """Return the layers that can have the fault. Empty: there is none."""
        diagnosis = self.examination.diagnosis
        if diagnosis.cause is Cause.HEALTHY:
            return []
        match diagnosis.layer:
            case "proxied" | "browser":
                return list(self.layers[:-1])
            case "direct" | "in-process":
                return list(self.layers[-1:])
            case _:
                return list(self.layers)

    @property
    def words(self) -> str:
        """Return the diagnosis in a few words."""
        blamed = self.blamed
        if not blamed:
            return "healthy"
        cause = str(self.examination.diagnosis.cause)
        return f"{cause}: {' or '.join(blamed)}"


def layers(cases: Mapping[str, Case], *, title: str) -> Picture:
    """Draw the layers of each case, with those marked that the doctor blames.

    One blamed layer has a cross; where the doctor cannot tell several apart, each has a question
    mark.

    Args:
        cases: the cases by name.
        title: the finding, as a sentence.
    """
    figure, axes = single(height=1.0 + 0.55 * len(cases), title=title)
    most = max(len(case.layers) for case in cases.values())
    for row, case in enumerate(cases.values()):
        blamed = case.blamed
        axes.plot([0, APART * len(case.layers)], [row, row], color=NEUTRAL, linewidth=1, zorder=1)
        for place, layer in enumerate(["client", *case.layers]):
            marked = place > 0 and layer in blamed
            colour = (EVENT if len(blamed) == 1 else LATE) if marked else "white"
            axes.add_patch(
                FancyBboxPatch(
                    (APART * place - WIDE / 2, row - HIGH / 2),
                    WIDE,
                    HIGH,
                    boxstyle="round,pad=0.02",
                    facecolor=colour,
                    edgecolor=NEUTRAL,
                    hatch="///" if marked and len(blamed) > 1 else None,
                    zorder=2,
                )
            )
            mark = ("✖ " if len(blamed) == 1 else "? ") if marked else ""
            axes.annotate(
                mark + layer,
                (APART * place, row),
                ha="center",
                va="center",
                fontsize=9,
                fontweight="bold" if marked else "normal",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5} if marked else None,
                zorder=3,
            )
        if not blamed:
            axes.annotate(
                "healthy",
                (APART * len(case.layers) + WIDE / 2 + 0.15, row),
                va="center",
                fontsize=9,
                color=GOOD,
            )
    axes.set_yticks(range(len(cases)), list(cases))
    axes.set_ylim(len(cases) - 0.5, -0.5)
    axes.set_xlim(-WIDE / 2 - 0.2, APART * most + WIDE / 2 + 0.9)
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    rows = [
        f"{name}: {' to '.join(['client', *case.layers])}; {case.words}"
        for name, case in cases.items()
    ]
    return Picture(figure, f"{title}. The layer to blame in each case. {'. '.join(rows)}.")
