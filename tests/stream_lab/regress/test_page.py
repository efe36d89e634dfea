"""The page of a run: its words, their order, its links, and no scripts."""

import json
import time
from dataclasses import replace
from urllib.parse import unquote

from stream_lab.notebooks.row import Attempt, Status
from stream_lab.regress.compare import Baseline
from stream_lab.regress.page import page
from stream_lab.regress.summary import Summary, parse
from tests.stream_lab.regress.examples import RAN_ON, claim, many, row, summary
from tests.stream_lab.regress.reader import Reader


def one_of_each() -> Summary:
    """Make a run with a change of each kind."""
    before = [
        row("04_it_works", claim("a"), claim("b", found=RAN_ON), claim("c", found=RAN_ON)),
        row("05_silent", claim(), seconds=1.0),
        row("09_gone", claim()),
        row("10_cut", claim()),
    ]
    now = [
        row("04_it_works", claim("a", found=RAN_ON), claim("b", found=RAN_ON), claim("c")),
        row("05_silent", claim(), seconds=60.0),
        row("06_the_fix", claim(), earlier=[Attempt(Status.FAIL, "a port was taken", 3.0)]),
        row("10_cut", status=Status.SKIPPED, reason="nginx is not installed"),
    ]
    return summary(
        now,
        Baseline("the run of yesterday", {old.cell: old for old in before}),
        notes=["A world is not pinned."],
    )


def test_the_page_shows_the_gravest_first() -> None:
    text = Reader(page(one_of_each())).text
    order = [
        "✘ regression: 2 of 4 cells passed", "Held against the run of yesterday.", "A world is not pinned.",
        "Regressions 1 in 1 cell", "Could not be told 1 in 1 cell", "Warnings 2 in 2 cells", "As bad as before 1 in 1 cell",
        "Mended 1 in 1 cell", "1 new, 1 gone", "The worlds", "Every cell",
    ]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "passed when run once more; at first: a port was taken" in text
    assert "60.0 s 1.0 s" in text


def test_a_run_without_any_change_says_so() -> None:
    good = row("04_it_works", claim())
    text = Reader(page(summary([good], Baseline("x", {good.cell: good})))).text
    assert "No claim, no time and no ending is other" in text
    assert "✔ as expected" in text


def test_the_page_needs_nothing_else_and_every_link_leads_somewhere() -> None:
    run = summary()
    body = page(run)
    read = Reader(body)
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in read.tags}
    assert "://" not in body
    links = [unquote(str(link["href"])) for link in read.all("a")]
    ids = {f"#{attributes['id']}" for _, attributes in read.tags if "id" in attributes}
    assert {link for link in links if link.startswith("#")} <= ids
    assert ids == {f"#{row.cell}" for row in run.rows}
    executed = {row.cell for row in run.rows if row.status not in (Status.SKIPPED, Status.INFRA)}
    assert {link for link in links if not link.startswith("#")} == {
        f"notebooks/{cell}.ipynb" for cell in executed
    }


def test_the_matrix_says_each_status_in_words_and_where_there_is_no_cell() -> None:
    rows = [*many(), row("13_doctor", claim(), endpoint="keep")]
    read = Reader(page(summary(rows)))
    start, end = read.text.index("The matrix"), read.text.index("The worlds")
    shown = read.text[start:end]
    for words in (
        "✔ pass",
        "✘ fail",
        "? infra",
        "– skipped",
        "regression",
        "flaky",
        "06 · The elapsed-time fix [TIMEOUT=0.5]",
    ):
        assert words in shown
    assert [head.get("colspan") for head in read.all("th") if "colspan" in head] == ["2", "1"]
    heads = [head for head in read.all("td") if str(head.get("class")).split(" ")[0] in set(Status)]
    assert [head["class"] for head in heads].count("fail worse") == 1
    assert len(heads) == len(rows)
    assert shown.count("·") >= 5


def test_only_cells_with_a_regression_are_open() -> None:
    opened = [str(one["id"]) for one in Reader(page(summary())).all("details") if "open" in one]
    assert opened == [
        "bundled/latest/06_the_fix/TIMEOUT=0.5",
        "bundled/seed/06_the_fix/TIMEOUT=0.5",
    ]


def test_details_hold_everything_about_a_cell() -> None:
    text = Reader(page(summary())).text
    for words in (
        "the chain ends in time stopped at the deadline ran past the deadline (regression)", "late_model_s 0.012",
        "Attempt 1, 3.0 s: ✘ fail, a port was taken", "It imported python 3.12.9, openai 3.1.0",
        "2026-11-21 01:52:08 UTC on bench-1 · 2 at a time · load 0.7",
    ):  # fmt: skip
        assert words in text


def test_worlds_show_the_packages_that_matter_and_what_differs() -> None:
    run = summary()
    read = Reader(page(replace(run, worlds={**run.worlds, "broken": {}})))
    assert "httpx – 0.28.1 –" in read.text
    assert "broken, could not be made" in read.text
    assert "zope" not in read.text
    assert len([tr for tr in read.all("tr") if tr.get("class") == "differs"]) == 5


def test_the_words_of_a_row_become_text_only() -> None:
    bad = '"><script>alert(1)</script>'
    made = row(
        "04_it_works", claim(bad, found=bad), title=bad, status=Status.FAIL, reason=bad, numbers={bad: 1.0}, host=bad,
        imported={bad: bad}, earlier=[Attempt(Status.FAIL, bad, 1.0)], parameters={bad: bad}, endpoint=bad, world=bad,
        by_claims=False, started=bad,
    )  # fmt: skip
    run = summary(
        [made],
        headline=bad,
        against=bad,
        endpoints={bad: bad},
        worlds={bad: {"python": bad}},
        notes=[bad],
        where=bad,
    )
    body = page(run)
    assert "<script" not in body
    assert not Reader(body).all("script")
    assert body.count("&lt;script&gt;") > 15


def test_the_page_of_a_large_run_takes_seconds_and_collapses_what_is_no_alarm() -> None:
    rows = [
        row(f"{n:02}_notebook", *[claim(f"claim {i} of {n}", found=RAN_ON if i < 2 else claim().found) for i in range(30)], world=f"w{w}")
        for w in range(6)
        for n in range(13)
    ]  # fmt: skip
    run = summary(rows, Baseline("x", {row.cell: row for row in rows}))
    started = time.monotonic()
    body = page(run)
    assert time.monotonic() - started < 10
    assert len(body) < 2_000_000
    assert len(run.changes) == 6 * 13 * 2
    assert "156 in 78 cells" in Reader(body).text
    assert body.count('<details class="plain">') == 1
    # One line for the same change in six worlds.
    assert body.count('<td class="where">') == 26


def test_a_run_read_from_its_file_makes_the_same_page() -> None:
    run = summary()
    assert page(parse(json.dumps(run.as_dict()))) == page(run)
