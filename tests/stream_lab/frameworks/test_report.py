"""The report: complaints, tables, the picture, the page and the file."""

from pathlib import Path

import pytest

from stream_lab.frameworks import page, report, results
from stream_lab.frameworks.judge import Mark
from stream_lab.frameworks.outcome import Outcome
from stream_lab.frameworks.picture import draw
from stream_lab.frameworks.playing import Watch
from stream_lab.frameworks.registry import Known, Setting, registry
from stream_lab.frameworks.survey import Row

T = 1.5
GOOD = Outcome(
    ended=1.5, chain=("StreamDeadlineExceeded",), ours=True, chunks=9, requests=1, freed=1.5
)
RUNS = Outcome(requests=1, chunks=400)
AGAIN = Outcome(ended=5.9, chain=("APITimeoutError",), chunks=9, requests=3)


def row(name: str, **found: Outcome) -> Row:
    """Return a row in which every cell holds but those of a setting, as timeout=RUNS."""
    framework = registry().frameworks[name]
    scenarios = [each for each in registry().scenarios if each not in framework.without]
    played = {key: dict.fromkeys(scenarios, found.get(key, GOOD)) for key in framework.settings}
    return Row(played, {"httpx": "1.2"}, "", "2026-11-27")


def with_known(monkeypatch: pytest.MonkeyPatch, mark: Mark) -> None:
    """Let the registry know that a cell of httpx does not hold."""
    framework = registry().frameworks["httpx"]
    known = {"stall": Known(mark=mark, reason="It is so.")}
    setting = framework.settings["bounded_client"].model_copy(update={"known": known})
    changed = framework.model_copy(
        update={"settings": {**framework.settings, "bounded_client": setting}}
    )
    monkeypatch.setitem(registry().frameworks, "httpx", changed)


def test_only_the_library_s_cells_are_complained_about() -> None:
    assert report.complaints({"httpx": row("httpx", timeout=RUNS)}, T) == []
    wrong = report.complaints({"httpx": row("httpx", deadline=RUNS)}, T)
    assert len(wrong) == 5
    assert wrong[0] == "httpx × deadline × endless does not hold: runs on."


def test_a_known_exception_is_no_complaint_until_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_known(monkeypatch, Mark.RUNNING)
    rows = {"httpx": row("httpx")}
    rows["httpx"].played["bounded_client"]["stall"] = RUNS
    assert report.complaints(rows, T) == []
    rows["httpx"].played["bounded_client"]["stall"] = AGAIN
    assert "is known as 'running' and came out as 'again'" in report.complaints(rows, T)[0]
    rows["httpx"].played["bounded_client"]["stall"] = GOOD
    assert "came out as 'holds'" in report.complaints(rows, T)[0]


def test_a_framework_that_was_not_played_is_a_complaint_and_a_line() -> None:
    rows = {"httpx": Row(unplayed="its packages do not install: no.", day="2026-11-27")}
    assert "was not played" in report.complaints(rows, T)[0]
    assert "its packages do not install" in report.table(rows, T)[1][1]


def test_the_table_says_what_came_of_each_cell() -> None:
    head, first, second, _ = report.table({"httpx": row("httpx", timeout=AGAIN)}, T)
    assert head[:3] == ["framework", "setting", "endless"]
    assert first[2:] == ["✘ 5.90 s, 3 generations"] * 4 + [
        "✘ 5.90 s, 3 generations",
        "`APITimeoutError`",
    ]
    assert second[2] == "✔ 1.50 s"
    assert len({len(line) for line in (head, first, second)}) == 1


def test_a_hidden_error_of_ours_is_named_as_such() -> None:
    hidden = Outcome(1.5, ("StreamChunkTimeoutError", "X"), ours=True, requests=1, freed=1.5)
    line = report.table({"httpx": row("httpx", deadline=hidden)}, T)[3]
    assert line[-1] == "StreamChunkTimeoutError (ours inside)"


def test_a_setting_may_have_a_deadline_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    framework = registry().frameworks["httpx"]
    setting = Setting(title="x", kind="library", timeout=2.0)
    changed = framework.model_copy(update={"settings": {"deadline": setting}})
    monkeypatch.setitem(registry().frameworks, "httpx", changed)
    late = Outcome(ended=2.05, chain=("X",), chunks=9, requests=1, freed=2.05)
    assert report.complaints({"httpx": row("httpx", deadline=late)}, T) == []


def test_results_survive_a_file_and_a_newer_row_replaces_an_older_one(tmp_path: Path) -> None:
    old = {"httpx": row("httpx", timeout=RUNS), "openai-sdk": row("openai-sdk")}
    file = tmp_path / results.FILE
    file.parent.mkdir(parents=True)
    file.write_text(results.as_json(old, Watch()), encoding="utf-8")
    assert results.read(tmp_path) == old
    merged = results.merge(old, {"httpx": row("httpx")})
    assert list(merged) == ["httpx", "openai-sdk"]
    assert merged["httpx"].played["timeout"]["endless"] == GOOD
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(results.ResultsError, match="cannot be read"):
        results.read(tmp_path)


def test_the_page_keeps_its_prose_and_gets_new_tables(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / page.PAGE).write_text(f"before\n{page.BEGIN}\nstale\n{page.END}\nafter\n", "utf-8")
    page.record(tmp_path, {"httpx": row("httpx", timeout=RUNS)}, Watch())
    text = (tmp_path / page.PAGE).read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert "| httpx, no SDK | httpx.Client(timeout=T) | ✘ runs on |" in text
    assert "httpx 1.2" in text
    assert (tmp_path / page.PICTURE).stat().st_size > 1000
    (tmp_path / page.PAGE).write_text("no markers", encoding="utf-8")
    with pytest.raises(page.PageError, match="markers"):
        page.record(tmp_path, {}, Watch())


def test_the_picture_says_in_words_what_it_shows() -> None:
    picture = draw({"httpx": row("httpx", timeout=RUNS)}, T)
    assert "stream-deadline, calls end and servers are free on time in 5 of 5 cells" in picture.alt
    assert "usual time-outs, in 0 of 5" in picture.alt


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    root = Path(__file__).parents[3]
    rows = results.read(root)
    text = (root / page.PAGE).read_text(encoding="utf-8")
    made = page.generated(rows, Watch(), draw(rows, T).alt)
    assert page.filled(text, made) == text
