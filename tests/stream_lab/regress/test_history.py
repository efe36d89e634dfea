"""The history: every finished run once, and the baseline of the next."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.experiment.evidence import Claim, Outcome
from stream_lab.notebooks.row import Attempt, Row, Status
from stream_lab.regress.history import History, HistoryError
from stream_lab.regress.summary import Summary, Verdict

GOOD = Claim("it is freed", "yes", "yes", Outcome.AS_TOLD)
ROW = Row(
    "a/x/04", "a", "x", "04", "It works", {"TIMEOUT": 2.0}, Status.PASS, by_claims=True, claims=[GOOD, GOOD],
    numbers={"late_s": 0.01}, seconds=9.5, imported={"python": "3.11.7"}, earlier=[Attempt(Status.FAIL, "x", 1.0)], load=1.5, jobs=2,
)  # fmt: skip


def summary(run: str, verdict: Verdict, *rows: Row) -> Summary:
    started = f"2026-11-{run}T00:00:00+00:00"
    return Summary(
        run,
        verdict,
        verdict.exit_status,
        "h",
        "b",
        started,
        20.0,
        "here",
        "c",
        "d",
        {"a": ""},
        {"x": {}},
        list(rows),
    )


def test_runs_come_back_whole_and_in_order(tmp_path: Path) -> None:
    history = History(tmp_path / "deep" / "history.sqlite")
    for run in ("02", "01", "03"):
        history.add(summary(run, Verdict.AS_EXPECTED, ROW), "runs/x")
    assert [past.run for past in history.last()] == ["01", "02", "03"]
    assert [past.run for past in history.last(2)] == ["02", "03"]
    assert history.last()[0].rows == [ROW]
    assert history.run("02") == history.last()[1]
    assert history.run("none") is None


def test_a_resumed_run_has_one_entry(tmp_path: Path) -> None:
    history = History(tmp_path / "h.sqlite")
    history.add(summary("01", Verdict.UNKNOWN, ROW), "runs/x")
    history.add(
        summary("01", Verdict.AS_EXPECTED, replace(ROW, numbers={}, claims=[GOOD])), "runs/x"
    )
    (past,) = history.last()
    assert (past.verdict, past.rows[0].numbers, past.rows[0].claims) == (
        Verdict.AS_EXPECTED,
        {},
        [GOOD],
    )


def test_each_cell_has_its_own_last_good_run_so_that_a_regression_stays_one(
    tmp_path: Path,
) -> None:
    history = History(tmp_path / "h.sqlite")
    other = replace(ROW, cell="a/x/05", seconds=1.0)
    history.add(summary("01", Verdict.AS_EXPECTED, ROW, other), "")
    history.add(summary("02", Verdict.AS_EXPECTED, replace(ROW, seconds=2.0)), "")
    history.add(summary("03", Verdict.REGRESSION, replace(ROW, seconds=3.0)), "")
    found = history.last_good([ROW.cell, other.cell])
    assert found is not None
    assert {cell: row.seconds for cell, row in found.rows.items()} == {
        ROW.cell: 2.0,
        other.cell: 1.0,
    }
    assert "newest: 02" in found.words
    held_against_itself = history.last_good([ROW.cell], but="02")
    assert held_against_itself is not None
    assert held_against_itself.rows[ROW.cell].seconds == 9.5
    assert history.last_good(["a/x/06"]) is None


def test_seconds_are_those_of_the_last_pass(tmp_path: Path) -> None:
    history = History(tmp_path / "h.sqlite")
    history.add(summary("01", Verdict.AS_EXPECTED, ROW), "")
    history.add(
        summary("02", Verdict.REGRESSION, replace(ROW, status=Status.TIMEOUT, seconds=60.0)), ""
    )
    assert history.seconds() == {ROW.cell: 9.5}


def test_without_a_file_the_history_is_empty_and_makes_none(tmp_path: Path) -> None:
    history = History(tmp_path / "h.sqlite")
    assert (history.last(), history.last_good(["x"]), history.seconds()) == ([], None, {})
    assert list(tmp_path.iterdir()) == []


def test_many_runs_may_be_added_at_once(tmp_path: Path) -> None:
    def add(number: int) -> None:
        row = replace(ROW, earlier=[Attempt(Status.FAIL, "x", 1.0)])
        History(tmp_path / "h.sqlite").add(summary(f"{number:02}", Verdict.AS_EXPECTED, row), "")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(1, 25)))
    assert len(History(tmp_path / "h.sqlite").last()) == 24


def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "h.sqlite"
    file.write_text("not a database, but long enough to be taken for one " * 50, encoding="utf-8")
    with pytest.raises(HistoryError, match="cannot be used"):
        History(file).last()


WIDE = Summary(
    "2026-11-21T01-52-08-ab12", Verdict.UNKNOWN, 2, "h", "b", "2026-11-21T01:52:08+00:00", 3521.0, "here",
    "0123456789abcdef", "0a8854f123+", {"a": ""}, {"x": {}},
    [replace(ROW, cell=f"a/x/{number:02}", claims=[GOOD] * 16) for number in range(28)],
)  # fmt: skip


@pytest.mark.parametrize("columns", ["80", "20"])
def test_a_line_fits_into_80_columns_and_no_width_breaks_or_cuts_it(
    columns: str, tmp_path: Path
) -> None:
    History(tmp_path / "h.sqlite").add(WIDE, "")
    History(tmp_path / "h.sqlite").add(summary("22", Verdict.AS_EXPECTED, ROW), "")
    done = CliRunner().invoke(
        app, ["history", str(tmp_path / "h.sqlite")], env={"COLUMNS": columns}
    )
    assert done.stdout.splitlines() == [
        "run                       verdict         cells   claims    time  code",
        "2026-11-21T01-52-08-ab12  could not tell  28/28  448/448  3521 s  0a8854f123+",
        "22                        as expected       1/1      2/2    20 s  d",
    ]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_file_is_the_one_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    config = tmp_path / "there" / "regress.yaml"
    config.write_text("history: kept/my.sqlite\n", encoding="utf-8")
    History(tmp_path / "there" / "kept" / "my.sqlite").add(WIDE, "")
    done = CliRunner().invoke(app, ["history", "--config", str(config), "--json"])
    assert [run["run"] for run in json.loads(done.stdout)] == [WIDE.run]
    monkeypatch.chdir(tmp_path / "there")
    assert WIDE.run in CliRunner().invoke(app, ["history"]).stdout, "in the current folder, too"
    config.unlink()
    nothing = CliRunner().invoke(app, ["history"])
    assert nothing.exit_code == 2
    assert "There is no history runs/history.sqlite" in nothing.stderr
    assert CliRunner().invoke(app, ["history", "--config", "none.yaml"]).exit_code == 2
