"""Claims as data: three outcomes, written at once, and a table at the end."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from stream_lab import Evidence
from stream_lab.experiment.evidence import FOLDER_VARIABLE, Outcome, Unknown


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ("cut", Outcome.AS_TOLD),
        ("ran on", Outcome.NOT_AS_TOLD),
        (Unknown("cut"), Outcome.NOT_SHOWN),
        (True, Outcome.NOT_AS_TOLD),
    ],
)
def test_a_claim_is_as_told_not_as_told_or_not_shown(found: object, outcome: Outcome) -> None:
    assert Evidence("x").claim("it is cut", expected="cut", found=found).outcome is outcome


def test_a_claim_that_is_made_again_replaces_the_former_one_in_its_place() -> None:
    evidence = Evidence("x")
    for first in (Unknown("this machine stood still"), "cut"):
        evidence.claim("it is cut", expected="cut", found=first)
        evidence.claim("it is logged", expected="yes", found="yes")
    assert repr(evidence.table()).splitlines() == ["✔ it is cut: cut", "✔ it is logged: yes"]


def test_a_cell_that_ends_with_a_claim_shows_nothing() -> None:
    pytest.importorskip("IPython", reason="a part of stream-lab[lab]")
    from IPython.core.formatters import DisplayFormatter

    claim = Evidence("x").claim("it is cut", expected="cut", found="cut")
    shown = DisplayFormatter().format(claim)  # type: ignore[no-untyped-call]
    assert shown == ({}, {})


def test_each_finding_is_on_disk_at_once_and_the_end_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    evidence = Evidence("04")
    evidence.claim("it is cut", expected="cut", found="cut")
    evidence.number("late_s", 0.012345)
    half = json.loads((tmp_path / "04.json").read_text())
    evidence.table()
    whole = json.loads((tmp_path / "04.json").read_text())
    assert (half["complete"], whole["complete"]) == (False, True)
    assert half["claims"] == [
        {"text": "it is cut", "expected": "cut", "found": "cut", "outcome": "as told"}
    ]
    assert whole["numbers"] == {"late_s": 0.0123}
    assert [file.name for file in tmp_path.iterdir()] == ["04.json"]


def test_no_file_is_written_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    Evidence("04").table()
    assert list(tmp_path.iterdir()) == []


def test_the_table_marks_every_claim_in_words_and_in_markdown() -> None:
    evidence = Evidence("04")
    evidence.claim("one", expected="a", found="a")
    evidence.claim("two", expected="a", found="b")
    evidence.claim("three", expected="a", found=Unknown("who knows"))
    table = evidence.table()
    assert repr(table).splitlines() == ["✔ one: a", "✘ two: b", "? three: who knows"]
    assert "| ✘ | two | b |" in table._repr_markdown_()


def test_the_former_place_of_evidence_warns_and_still_works() -> None:
    sys.modules.pop("stream_lab.evidence", None)
    with pytest.warns(DeprecationWarning, match=r"is now stream_lab\.experiment\.evidence"):
        former = importlib.import_module("stream_lab.evidence")
    assert former.Evidence is Evidence
