"""The history's page and its pictures: nothing, one run, and many."""

import math
from dataclasses import replace
from typing import Any

import pytest

from stream_lab.experiment.evidence import Outcome
from stream_lab.notebooks.row import Row, Status
from stream_lab.plots import Picture
from stream_lab.regress import pictures
from stream_lab.regress.history import Past
from stream_lab.regress.trend import trend
from tests.stream_lab.regress.examples import RAN_ON, claim, many, past, row
from tests.stream_lab.regress.reader import Reader


def marks(body: str, *, line: int = 0) -> str:
    """Return the marks of one line of the first grid, oldest first."""
    grid = body.split('<table class="grid">')[1].split("</table>")[0]
    return "".join(
        one.rpartition(">")[2] for one in grid.split("<tr>")[2 + line].split("</td>")[:-1]
    )


def lines(picture: Picture | None) -> list[list[float]]:
    assert picture is not None
    axes: Any = picture.figure.axes[0]
    return [[round(float(y), 3) for y in line.get_ydata()] for line in axes.lines]


def title(picture: Picture | None) -> str:
    assert picture is not None
    figure: Any = picture.figure
    return str(figure._suptitle.get_text())


def late(number: int, seconds: float, **more: Any) -> Past:
    return past(
        number,
        [row("06_the_fix", claim(), numbers={"late_model_s": seconds, "chunks": 9.0}, **more)],
    )


def test_an_empty_history_is_one_clear_sentence() -> None:
    body = trend([])
    assert "The history holds no run yet" in body
    assert "<table" not in body
    assert "<img" not in body


def test_one_run_is_a_page_too() -> None:
    read = Reader(trend([past(1, many())]))
    assert "One run, of 2026-11-01 01:00:00 UTC." in read.text
    assert "✘ The last run, regression: 2 of 6 cells passed" in read.text
    assert len(read.all("img")) == 2


def test_a_claim_is_followed_from_run_to_run_and_the_steady_ones_are_counted() -> None:
    good, other = claim("a"), claim("steady")
    runs = [
        [row("04_it_works", good, other)],
        [row("04_it_works", claim("a", found=RAN_ON), other)],
        [row("04_it_works", claim("a", found="no metrics", outcome=Outcome.NOT_SHOWN), other)],
        [row("06_the_fix", claim("b"))],
        [row("04_it_works", good, other)],
    ]
    body = trend([past(number, rows) for number, rows in enumerate(runs, 1)])
    assert marks(body) == "✔✘?·✔"
    assert (
        'title="2026-11-02 01:00:00 UTC: ran past the deadline (told: stopped at the deadline)"'
        in body
    )
    assert (
        "2 other claims: as told in every run that got to them, which for 2 was not every run."
        in Reader(body).text
    )


def test_claims_that_always_held_are_one_line() -> None:
    text = Reader(
        trend([past(number, [row("04_it_works", claim("a"), claim("b"))]) for number in (1, 2)])
    ).text
    assert "All 2 claims: as told in every run." in text
    assert "runs to its end" not in text


def test_a_notebook_that_did_not_run_to_its_end_is_in_the_grid() -> None:
    stopped = row("04_it_works", claim(), status=Status.TIMEOUT, reason="stopped after 60 s")
    body = trend([past(1, [row("04_it_works", claim())]), past(2, [stopped])])
    assert marks(body) == f"✔{Status.TIMEOUT.mark}"
    assert "timeout, stopped after 60 s" in body


def test_each_endpoint_and_world_has_a_grid_of_its_own() -> None:
    rows = [row("04_it_works", claim(found=RAN_ON), world=world) for world in ("latest", "seed")]
    body = trend([past(1, rows)])
    assert body.count('<table class="grid">') == 2
    assert "bundled · seed" in body


def test_lateness_is_drawn_in_milliseconds_and_its_title_compares_the_last_run() -> None:
    picture = pictures.lateness(
        [late(1, 0.01), past(2, [row("06_the_fix", claim())]), late(3, 0.025)]
    )
    drawn = lines(picture)
    assert len(drawn) == 1
    assert (drawn[0][0], drawn[0][2]) == (10.0, 25.0)
    assert math.isnan(drawn[0][1])
    assert (
        title(picture)
        == "In the last run at most 25 ms late (06 model, bundled/latest); before, at most 10 ms"
    )
    assert picture is not None
    assert picture.alt.startswith(title(picture))
    assert "3 runs from 11-01 01:00 to 11-03 01:00" in picture.alt
    assert "06 model, bundled/latest: 25 ms" in picture.alt
    axes: Any = picture.figure.axes[0]
    assert axes.get_ylabel() == "after the deadline, ms"


@pytest.mark.parametrize(
    ("values", "told"),
    [([0.01], "In the last run at most 10 ms late (06 model, bundled/latest)"), ([-0.01], "In the last run nothing was late"),
     ([0.01, math.nan], "No lateness was measured in the last run; before, at most 10 ms")],
)  # fmt: skip
def test_the_title_of_lateness_is_true_for_few_values(values: list[float], told: str) -> None:
    assert (
        title(pictures.lateness([late(number, value) for number, value in enumerate(values, 1)]))
        == told
    )


def test_nothing_measured_is_no_picture() -> None:
    bare = [past(1, [row("04_it_works", status=Status.SKIPPED, reason="x")])]
    assert pictures.lateness(bare) is None
    assert pictures.durations(bare) is None
    assert "No run has measured anything that could be drawn." in trend(bare)


def test_seconds_are_the_median_over_the_cells_that_ran_to_their_end() -> None:
    def rows(first: float) -> list[Row]:
        took = {"a": first, "b": first + 1, "c": first + 2}
        good = [
            row("04_it_works", claim(), world=world, seconds=seconds)
            for world, seconds in took.items()
        ]
        return [
            *good,
            row(
                "04_it_works",
                claim(),
                world="d",
                seconds=300.0,
                status=Status.TIMEOUT,
                reason="stopped",
            ),
        ]

    assert lines(pictures.durations([past(1, rows(2.0)), past(2, rows(3.0))])) == [[3.0, 4.0]]
    same = pictures.durations([past(1, rows(2.0)), past(2, rows(2.0))])
    assert (
        title(same)
        == "No notebook is slower than it was; 04 It works: model.astream takes longest, 3.0 s"
    )
    slower = pictures.durations([past(1, rows(2.0)), past(2, rows(9.0))])
    assert title(slower) == "04 It works: model.astream took 10.0 s in the last run, before 3.0 s"


def test_thirty_runs_keep_the_axis_readable_and_the_table_complete() -> None:
    runs = [late(number, 0.01 if number != 7 else 3.0) for number in range(1, 31)]
    picture = pictures.lateness(runs)
    assert picture is not None
    axes: Any = picture.figure.axes[0]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert len(ticks) <= pictures.MOST_TICKS
    assert ticks[-1] == "11-30 01:00"
    assert axes.get_yscale() == "symlog"
    read = Reader(trend(runs))
    assert len([tr for tr in read.all("tr") if "id" in tr]) == 30
    assert read.text.index("2026-11-30 01:00:00 UTC ✔") < read.text.index(
        "2026-11-02 01:00:00 UTC ✔"
    )


def test_lines_of_one_picture_differ_by_more_than_colour() -> None:
    numbers = {f"late_{name}_s": 0.01 for name in "abcde"}
    rows = [
        row("06_the_fix", claim(), numbers=numbers, world=world) for world in ("latest", "seed")
    ]
    picture = pictures.lateness([past(1, rows)])
    assert picture is not None
    axes: Any = picture.figure.axes[0]
    looks = [
        (line.get_linestyle(), line._unscaled_dash_pattern, line.get_marker())
        for line in axes.lines
    ]
    assert len({str(look) for look in looks}) == len(looks) == 10
    assert len({look[2] for look in looks}) == 2


def test_the_words_of_the_history_become_text_only() -> None:
    bad = '"><script>alert(1)</script>$x'
    made = row(
        "04_it_works", claim(bad, found=bad), title=bad, endpoint=bad, numbers={f"late_{bad}": 0.1}
    )
    stopped = row("06_the_fix", status=Status.TIMEOUT, reason=bad, endpoint=bad, title=bad)
    body = trend(
        [
            replace(
                past(1, [made, stopped]),
                headline=bad,
                against=bad,
                code=bad,
                commit=bad,
                outputs=bad,
                run=bad,
            )
        ]
    )
    assert "<script" not in body
    assert not Reader(body).all("script")
    assert "://" not in body
