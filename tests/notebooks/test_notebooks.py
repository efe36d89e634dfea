"""What nbval does not check: unrun notebooks, tags, paths, keys, hosts, texts, links.

nbval compares nothing for a cell that was committed without having been run, and says nothing about it; hence this file.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TAGS = {"parameters", "solution", "nbval-ignore-output", "raises-exception"}
PARAMETERS = ("BASE_URL = None", "MODEL = None", "TIMEOUT = 2.0")

sys.path.insert(0, str(ROOT / "tools"))
import build_notebooks  # noqa: E402


def load(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in load(path) if cell["cell_type"] == "code"]


def tags(cell: dict[str, Any]) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def test_the_story_is_complete() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(14)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestEachNotebook:
    def test_equals_its_source(self, path: Path) -> None:
        source = build_notebooks.read(ROOT / "notebooks" / "source" / f"{path.stem}.py")
        committed = json.loads(path.read_text(encoding="utf-8"))
        assert [(cell["cell_type"], "".join(cell["source"])) for cell in committed["cells"]] == [
            (cell.cell_type, cell.source) for cell in source.cells
        ]
        assert [cell["metadata"] for cell in committed["cells"]] == [
            dict(cell.metadata) for cell in source.cells
        ]
        assert committed["metadata"] == source.metadata

    def test_was_run_from_top_to_bottom(self, path: Path) -> None:
        assert [cell["execution_count"] for cell in code(path)] == list(
            range(1, len(code(path)) + 1)
        )

    def test_has_only_tags_that_mean_something(self, path: Path) -> None:
        assert {tag for cell in load(path) for tag in tags(cell)} <= TAGS

    def test_begins_with_the_three_parameters(self, path: Path) -> None:
        first = code(path)[0]
        assert "parameters" in tags(first)
        assert [line.split("  #")[0] for line in "".join(first["source"]).splitlines()] == list(
            PARAMETERS
        )

    def test_states_its_goals_and_ends_with_a_table_an_exercise_and_a_link(
        self, path: Path
    ) -> None:
        text = "\n".join(
            "".join(cell["source"]) for cell in load(path) if cell["cell_type"] == "markdown"
        )
        assert "**After this notebook you will know**" in text
        assert "## What was shown" in text
        assert "## Exercise" in text
        assert any("evidence.table()" in "".join(cell["source"]) for cell in code(path))
        assert re.search(r"(Next|Back to):", "".join(load(path)[-1]["source"]))

    def test_every_claim_is_as_told(self, path: Path) -> None:
        table = next(cell for cell in code(path) if "evidence.table()" in "".join(cell["source"]))
        rows = "".join(table["outputs"][-1]["data"]["text/plain"]).splitlines()
        assert rows
        assert all(row.startswith("✔ ") for row in rows)

    def test_shows_no_error_and_no_warning(self, path: Path) -> None:
        for cell in code(path):
            for output in cell["outputs"]:
                assert output["output_type"] != "error" or "raises-exception" in tags(cell)
                assert output.get("name") != "stderr", "".join(output.get("text", ""))

    def test_gives_every_picture_an_alternative_text(self, path: Path) -> None:
        pictures = [
            output
            for cell in code(path)
            for output in cell["outputs"]
            if "image/png" in output.get("data", {})
        ]
        for picture in pictures:
            assert len(picture["metadata"]["image/png"]["alt"]) > 60

    def test_holds_no_path_key_or_foreign_host(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r'"image/png": "[^"]*"', "", text)
        assert not re.search(r"(?<![\w.<:/])/(home|root|usr|tmp|opt|work|Users)/", text)
        assert "sk-" not in re.sub(r"\b(ta|di|ri|ma|as)sk-", "", text)
        hosts = set(re.findall(r"https?://([\w.-]+)", text))
        assert hosts <= {"127.0.0.1", "host", "github.com"}

    def test_links_lead_somewhere(self, path: Path) -> None:
        text = "\n".join(
            "".join(cell["source"]) for cell in load(path) if cell["cell_type"] == "markdown"
        )
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (path.parent / target).exists(), target

    def test_hides_its_solutions_one_click_away(self, path: Path) -> None:
        for cell in code(path):
            if "solution" in tags(cell):
                assert cell["metadata"]["jupyter"]["source_hidden"]
