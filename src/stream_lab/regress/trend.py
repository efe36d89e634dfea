"""The history as one HTML page that needs no other file.

It shows which claims did not hold when, how late deadlines were, how long notebooks took, and every
run's verdict.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from stream_lab.experiment.evidence import Outcome
from stream_lab.http.pages import render
from stream_lab.notebooks.row import ENDED, Row, Status
from stream_lab.regress import page, pictures
from stream_lab.regress.history import Past
from stream_lab.regress.page import moment, name_of
from stream_lab.regress.summary import Verdict

TONES = {"✔": "good", "✘": "bad", "!": "bad", "?": "open", "–": "none", "·": "none"}


@dataclass(frozen=True)
class Point:
    """A claim in one run.

    Attributes:
        mark: The outcome; "·" if the run did not get to the claim.
        words: The time and the outcome, in words.
    """

    mark: str
    words: str

    @property
    def tone(self) -> str:
        return TONES[self.mark]


@dataclass(frozen=True)
class Line:
    """A claim of a notebook over all runs."""

    notebook: str
    claim: str
    points: list[Point]


@dataclass(frozen=True)
class Grid:
    """The claims of one endpoint × world that did not hold in every run.

    Attributes:
        steady: How many other claims there are.
        partly: How many of those were not in every run.
    """

    place: str
    lines: list[Line]
    steady: int
    partly: int

    @property
    def others(self) -> str:
        """A sentence on the other claims."""
        if not self.steady:
            return "No other claims."
        count = (
            f"{self.steady} other {'claim' if self.steady == 1 else 'claims'}"
            if self.lines
            else f"All {self.steady} claims"
        )
        if not self.partly:
            return f"{count}: as told in every run."
        return (
            f"{count}: as told in every run that got to them, which for {self.partly} was not "
            "every "
            "run."
        )


def trend(pasts: list[Past]) -> str:
    """Render the page.

    Args:
        pasts: The runs, oldest first; without any, the page says so.
    """
    drawn = [
        picture
        for draw in (pictures.lateness, pictures.durations)
        if (picture := draw(pasts)) is not None
    ]
    return render(
        "stream_lab.regress",
        "trend.html.j2",
        pasts=pasts,
        grids=list(_grids(pasts)),
        pictures=[
            {"png": base64.b64encode(picture.png()).decode(), "alt": picture.alt}
            for picture in drawn
        ],
        marks={verdict: verdict.mark for verdict in Verdict},
        tones=page.TONES,
        moment=moment,
        short=pictures.short,
    )


def _grids(pasts: list[Past]) -> Iterator[Grid]:
    places = dict.fromkeys((row.endpoint, row.world) for past in pasts for row in past.rows)
    for endpoint, world in places:
        points: dict[tuple[str, str, str], dict[int, Point]] = {}
        for index, past in enumerate(pasts):
            for row in past.rows:
                if (row.endpoint, row.world) == (endpoint, world):
                    for claim, point in _points(row, moment(past.started)):
                        points.setdefault((row.notebook, name_of(row), claim), {})[index] = point
        told = {
            key: found
            for key, found in points.items()
            if all(point.mark == "✔" for point in found.values())
        }
        lines = [
            Line(name, claim, _over_runs(found, pasts))
            for (_, name, claim), found in sorted(points.items(), key=lambda item: item[0][0])
            if (_, name, claim) not in told
        ]
        # The ending of a notebook does not count as a claim.
        steady = [found for (_, _, claim), found in told.items() if claim != ENDED]
        yield Grid(
            f"{endpoint} · {world}",
            lines,
            len(steady),
            sum(len(found) < len(pasts) for found in steady),
        )


def _over_runs(found: dict[int, Point], pasts: list[Past]) -> list[Point]:
    """Return a claim's point in each run, also in those that have none."""
    return [
        found.get(index, Point("·", f"{moment(past.started)}: not in this run"))
        for index, past in enumerate(pasts)
    ]


def _points(row: Row, when: str) -> Iterator[tuple[str, Point]]:
    ran = row.by_claims or row.status is Status.PASS
    yield (
        ENDED,
        Point(
            "✔" if ran else row.status.mark,
            f"{when}: {'it did' if ran else f'{row.status}, {row.reason}'}",
        ),
    )
    for claim in row.claims:
        told = "" if claim.outcome is Outcome.AS_TOLD else f" (told: {claim.expected})"
        yield claim.text, Point(claim.outcome.mark, f"{when}: {claim.found}{told}")
