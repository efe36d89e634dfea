"""`stream-lab progress`: a reader's progress, from a copy of the course."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.course.store import MARKER

CONTENTS = [
    {"number": "00", "title": "Start [here]", "predictions": ["1"], "exercises": ["1"]},
    {"number": "05", "title": "A chain", "predictions": ["1", "2"], "exercises": ["1", "2"]},
]
DONE = {
    "predictions": {
        "1": {"question": "?", "chosen": "yes", "happened": "yes", "right": True, "why": ""}
    },
    "exercises": {"1": {"state": "solved", "wrong": 2}},
}


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / MARKER / "progress").mkdir(parents=True)
    (tmp_path / MARKER / "contents.json").write_text(json.dumps(CONTENTS))
    (tmp_path / MARKER / "tours.json").write_text(
        json.dumps({"chains": ["05"], "all": ["05", "00"]})
    )
    (tmp_path / MARKER / "progress" / "00.json").write_text(json.dumps(DONE))
    return tmp_path


def test_it_shows_what_is_done_and_what_is_left(course: Path) -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["progress", str(course)])
    assert result.exit_code == 0, result.output
    first, second = (
        line for line in result.output.splitlines() if line.lstrip("✔ ").startswith(("00 ", "05 "))
    )
    assert first.startswith("✔")
    assert "Start [here]" in first
    assert second.split() == "05 A chain 0 of 2 0 0 of 2 1, 2".split()
    assert "1 of 3 exercises solved; 1 of 1 predictions came true." in result.output


def test_a_script_reads_it_as_json(course: Path) -> None:
    result = CliRunner().invoke(app, ["progress", str(course), "--json"])
    first, second = json.loads(result.output)
    assert (first["solved"], first["left"]) == (1, "")
    assert second["exercises"] == {"1": "open", "2": "open"}
    assert second["left"] == "2 predictions; exercises 1, 2"


def test_a_tour_has_its_own_notebooks_in_its_own_order(course: Path) -> None:
    result = CliRunner().invoke(app, ["progress", str(course), "--tour", "all", "--json"])
    assert [line["number"] for line in json.loads(result.output)] == ["05", "00"]
    result = CliRunner().invoke(app, ["progress", str(course), "--tour", "chain"])
    assert result.exit_code == 2
    assert "there are: chains, all" in result.output
