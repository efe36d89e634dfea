"""The learner edition, and the copy of the course that `make learn` lays out."""

import json
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

from stream_lab.course.overview import overview
from stream_lab.course.store import MARKER

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import editions  # noqa: E402
import learn  # noqa: E402
import seed_world  # noqa: E402

CHAPTERS = editions.chapters()
BY_NUMBER = {chapter.number: chapter for chapter in CHAPTERS}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learn")
    assert learn.lay_out(folder) == []
    return folder


def cell(source: str, *tags: str) -> nbformat.NotebookNode:
    made: nbformat.NotebookNode = nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
    return made


class TestTheLearnerEdition:
    @pytest.mark.parametrize("number", ["04", "05", "06", "10", "11"])
    def test_has_a_title_that_does_not_answer_a_prediction(self, number: str) -> None:
        chapter = BY_NUMBER[number]
        reference = chapter.source.read_text(encoding="utf-8").splitlines()[1]
        first = editions.learner(chapter, CHAPTERS).cells[0].source.splitlines()[0]
        assert first == f"# {number} · {chapter.title}"
        assert first != reference.removeprefix("# ")

    def test_names_no_notebook_as_the_reference_does(self) -> None:
        renamed = [chapter for chapter in CHAPTERS if chapter.file != chapter.learner]
        assert renamed
        for chapter in CHAPTERS:
            notebook = editions.learner(chapter, CHAPTERS)
            text = "".join(each.source for each in notebook.cells)
            assert not [each.file for each in renamed if f"{each.file}.ipynb" in text]

    def test_has_no_outputs(self) -> None:
        for each in editions.learner(BY_NUMBER["05"], CHAPTERS).cells:
            assert each.cell_type == "markdown" or not each.outputs

    def test_gets_each_solution_after_the_check_of_its_exercise(self, tmp_path: Path) -> None:
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [
            cell("answer = ...", "exercise"), cell('await lesson.check("1", answer)')
        ]  # fmt: skip
        solved = editions.solved(notebook, "00")
        assert [each.source for each in solved.cells] == [
            "answer = ...",
            'await lesson.check("1", answer)',
            editions.solutions("00")["1"],
            'await lesson.check("1", answer)',
        ]

    def test_refuses_an_exercise_without_a_check(self) -> None:
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [cell("answer = ...", "exercise")]
        with pytest.raises(ValueError, match="never checked"):
            editions.solved(notebook, "00")

    def test_counts_predictions_and_exercises_that_the_code_asks_for(self) -> None:
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [
            cell('p = lesson.predict(\n    "1", "Why?", {})\np'),
            cell('# lesson.predict("2", ...)\nx = "lesson.check("'),
            cell('await lesson.check("1", answer, call)'),
            nbformat.v4.new_markdown_cell('`lesson.check("9", a)`'),
        ]
        assert editions.contents(notebook) == editions.Contents(("1",), ("1",))


class TestACopyOfTheCourse:
    def test_has_every_notebook_the_solutions_apart_and_the_docs(self, course: Path) -> None:
        names = {path.stem for path in (course / "notebooks").glob("*.ipynb")}
        assert names == {chapter.learner for chapter in CHAPTERS}
        assert (course / "solutions" / "05.py").exists()
        assert (course / "docs" / "glossary.md").exists()

    def test_has_no_link_that_leads_nowhere(self, course: Path) -> None:
        for page in [*course.rglob("*.md"), *course.glob("notebooks/*.ipynb")]:
            text = page.read_text(encoding="utf-8")
            if page.suffix == ".ipynb":
                cells = json.loads(text)["cells"]
                text = "".join("".join(c["source"]) for c in cells if c["cell_type"] != "code")
            for target in re.findall(r"\]\(((?!https?:|mailto:|#)[^)#\s]+)", text):
                assert (page.parent / target).exists(), f"{page.name}: {target}"

    def test_leads_to_a_heading_by_the_anchor_that_jupyterlab_gives_it(self, course: Path) -> None:
        for name in ("docs/runbook.md", "notebooks/11_more_workers.ipynb"):
            text = (course / name).read_text(encoding="utf-8")
            assert "cutoffs.md#What-each-class-of-workers-does)" in text
        anchors = re.compile(r"\]\(([./\w-]+\.md)#([^)\s]+)\)")
        for page in course.rglob("*.md"):
            for target, anchor in anchors.findall(page.read_text(encoding="utf-8")):
                headings = (page.parent / target).read_text(encoding="utf-8").replace("`", "")
                assert f"# {anchor}\n" in headings.replace(" ", "-").replace("#-", "# "), anchor

    def test_shows_progress_for_every_notebook(self, course: Path) -> None:
        lines = overview(course)
        assert [line.number for line in lines] == [chapter.number for chapter in CHAPTERS]
        assert all(line.predictions >= 2 and len(line.exercises) >= 2 for line in lines)

    def test_keeps_a_changed_notebook_and_its_outputs_when_it_is_laid_out_again(
        self, tmp_path: Path
    ) -> None:
        learn.lay_out(tmp_path)
        changed, ran, old = sorted((tmp_path / "notebooks").glob("*.ipynb"))[:3]
        for path, source in ((changed, "answer = 3"), (ran, None)):
            notebook = nbformat.read(path, as_version=4)
            code = next(each for each in notebook.cells if each.cell_type == "code")
            code.outputs = [nbformat.v4.new_output("stream", text="mine")]
            code.source = source or code.source
            nbformat.write(notebook, path)
        old.unlink()
        (tmp_path / MARKER / "progress").mkdir()
        (tmp_path / MARKER / "progress" / "05.json").write_text("{}")
        assert learn.lay_out(tmp_path) == [changed.name]
        assert "answer = 3" in changed.read_text(encoding="utf-8")
        assert "mine" in ran.read_text(encoding="utf-8")
        assert old.exists()
        assert (tmp_path / MARKER / "progress" / "05.json").read_text() == "{}"

    def test_that_cannot_be_written_is_one_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_text("")
        assert learn.main([str(tmp_path / "file"), "--no-lab"]) == 2
        assert capsys.readouterr().err.startswith("The course cannot be laid out: ")

    def test_opens_in_jupyterlab_with_the_options_after_the_dashes(
        self, course: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[list[str]] = []
        monkeypatch.setattr(learn, "lay_out", lambda *_: [])
        monkeypatch.setattr(os, "execvpe", lambda _, command, __: started.append(command))
        learn.main([str(course), "--", "--no-browser", "--port=8890"])
        assert started[0][-2:] == ["--no-browser", "--port=8890"]

    def test_opens_in_jupyterlab_without_a_question_and_with_rendered_pages(
        self, course: Path
    ) -> None:
        command, environment = learn.lab_command(course)
        settings = Path(environment["JUPYTERLAB_SETTINGS_DIR"])
        (file,) = settings.rglob("notification.jupyterlab-settings")
        assert json.loads(file.read_text())["fetchNews"] == "false"
        (file,) = settings.rglob("plugin.jupyterlab-settings")
        assert json.loads(file.read_text())["defaultViewers"] == {"markdown": "Markdown Preview"}
        (workspace,) = Path(environment["JUPYTERLAB_WORKSPACES_DIR"]).iterdir()
        body = json.loads(workspace.read_text())
        assert f"/lab/workspaces/{body['metadata']['id']}" in " ".join(command)
        for key in body["data"]:
            kind, _, path = key.partition(":")
            if kind in ("notebook", "markdownviewer-widget"):
                assert (course / path).exists()


def test_the_seed_world_is_kept_by_notebook_and_claim() -> None:
    claims = [{"text": "It holds", "found": "yes", "expected": "yes", "outcome": "as told"}]
    results = [{"name": "07b_x", "claims": claims}, {"name": "08_y", "claims": []}]
    assert seed_world.findings(json.dumps({"results": results})) == {"07b": {"It holds": "yes"}}
