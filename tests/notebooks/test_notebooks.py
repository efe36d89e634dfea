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
TAGS = {"parameters", "exercise", "nbval-ignore-output", "raises-exception"}
LONGEST_CELL = 40  # lines; a longer one holds machinery
PARAMETERS = ("BASE_URL = None", "MODEL = None", "TIMEOUT = 2.0")

sys.path.insert(0, str(ROOT / "tools"))
import build_notebooks  # noqa: E402
import course_tables  # noqa: E402
import editions  # noqa: E402

CHAPTERS = editions.chapters()


def load(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in load(path) if cell["cell_type"] == "code"]


def tags(cell: dict[str, Any]) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def test_the_course_names_every_notebook_and_every_solution() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(chapter.file for chapter in CHAPTERS)
    assert {path.stem for path in editions.SOLUTIONS.glob("*.py")} == {
        chapter.number for chapter in CHAPTERS
    }


@pytest.mark.parametrize("page", course_tables.PAGES, ids=lambda page: page.stem)
def test_the_tables_are_those_of_the_course(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert course_tables.NOTEBOOKS in text
    assert course_tables.TOURS in text
    assert text == course_tables.written(page), "python tools/course_tables.py writes them"


def test_every_tour_has_a_page_that_links_to_its_notebooks_and_says_how_long_it_takes() -> None:
    files = {chapter.number: chapter.file for chapter in CHAPTERS}
    for tour in editions.tours():
        page = (ROOT / "docs" / "tours" / f"{tour.name}.md").read_text(encoding="utf-8")
        linked = re.findall(r"^\d\. .*?notebooks/(\w+)\.ipynb", page, flags=re.MULTILINE)
        assert linked == [files[number] for number in tour.notebooks]
        assert f"About {tour.minutes()} minutes" in page
        assert "## Lessons learned" in page
        assert page.count("\n- ", page.index("## Lessons"), page.index("## Next")) == 5


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.number)
class TestEachChapter:
    def test_links_to_its_neighbours(self, chapter: editions.Chapter) -> None:
        last = editions.learner(chapter, CHAPTERS).cells[-1].source
        place = CHAPTERS.index(chapter)
        neighbours = CHAPTERS[max(place - 1, 0) : place] + CHAPTERS[place + 1 : place + 2]
        for neighbour in neighbours if chapter.number != "30" else CHAPTERS[:1]:
            assert f"[{neighbour.number} · {neighbour.title}]({neighbour.learner}.ipynb)" in last

    def test_says_how_long_it_takes(self, chapter: editions.Chapter) -> None:
        first = editions.learner(chapter, CHAPTERS).cells[0].source
        assert f"About {chapter.minutes} minutes" in " ".join(first.split())

    def test_has_a_solution_for_each_exercise_and_none_in_the_notebook(
        self, chapter: editions.Chapter
    ) -> None:
        notebook = editions.learner(chapter, CHAPTERS)
        contents = editions.contents(notebook)
        solutions = editions.solutions(chapter.number)
        assert list(solutions) == list(contents.exercises)
        code = "".join(cell.source for cell in notebook.cells)
        assert not [name for name, text in solutions.items() if text in code]


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

    def test_has_goals_predictions_a_table_exercises_and_a_link(self, path: Path) -> None:
        text = "\n".join(
            "".join(cell["source"]) for cell in load(path) if cell["cell_type"] == "markdown"
        )
        sources = ["".join(cell["source"]) for cell in code(path)]
        assert "**After this notebook you will know**" in text
        assert "## What was shown" in text
        assert "## Exercises" in text
        assert any("evidence.table()" in source for source in sources)
        assert any("lesson.progress()" in source for source in sources)
        predicted = sum("lesson.predict(" in source for source in sources)
        revealed = sum(source.count(".reveal(") for source in sources)
        assert predicted == revealed >= 2
        assert re.search(r"(Next|Back to):", "".join(load(path)[-1]["source"]))

    def test_reveals_something_that_its_prediction_offered(self, path: Path) -> None:
        for cell in code(path):
            if "lesson.progress()" in "".join(cell["source"]):
                (table,) = [o["data"]["text/plain"] for o in cell["outputs"] if "data" in o]
                assert "not revealed" not in "".join(table)

    def test_holds_an_idea_in_each_cell(self, path: Path) -> None:
        for cell in code(path):
            assert len("".join(cell["source"]).splitlines()) <= LONGEST_CELL, cell["source"][0]

    def test_claims_whole_sentences(self, path: Path) -> None:
        table = next(cell for cell in code(path) if "evidence.table()" in "".join(cell["source"]))
        for row in "".join(table["outputs"][-1]["data"]["text/plain"]).splitlines():
            words = row[2:].split(": ")[0].split()
            assert len(words) >= 4, row
            assert not words[0][0].islower() or words[0][0] in "`_", row

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
        assert "sk-" not in re.sub(r"\b(ta|di|ri|ma|as)sk-", "", text, flags=re.IGNORECASE)
        hosts = set(re.findall(r"https?://([\w.-]+)", text))
        assert hosts <= {"127.0.0.1", "host", "github.com"}

    def test_links_lead_somewhere(self, path: Path) -> None:
        text = "\n".join(
            "".join(cell["source"]) for cell in load(path) if cell["cell_type"] == "markdown"
        )
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (path.parent / target).exists(), target
