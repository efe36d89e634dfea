"""Make the learner edition of a notebook from its source, unsolved or solved.

The source is the reference edition's. The learner edition has the same cells with other titles and
no outputs, and lies beside copies of what the notebooks link to.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import build_notebooks
import nbformat
import yaml

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "notebooks" / "source"
SOLUTIONS = ROOT / "notebooks" / "solutions"
COURSE = ROOT / "notebooks" / "course.yaml"


@dataclass(frozen=True)
class Chapter:
    """One notebook of the course.

    Attributes:
        number: Its number, as "07b".
        file: The reference edition's name, without .ipynb.
        learner: The learner edition's name, without .ipynb.
        title: The learner edition's title.
        question: What it answers.
        minutes: How long a reader needs; 0 where it was not measured.
    """

    number: str
    file: str
    learner: str
    title: str
    question: str = ""
    minutes: int = 0

    @property
    def source(self) -> Path:
        """The file that both editions are made from."""
        return SOURCE / f"{self.file}.py"


@dataclass(frozen=True)
class Contents:
    """What a reader can do in a notebook: the numbers of its predictions and exercises."""

    predictions: tuple[str, ...]
    exercises: tuple[str, ...]


def chapters() -> list[Chapter]:
    """Return the notebooks of the course, in order."""
    found = yaml.safe_load(COURSE.read_text(encoding="utf-8"))["notebooks"]
    return [Chapter(**each) for each in found]


@dataclass(frozen=True)
class Tour:
    """A way through the course.

    Attributes:
        name: Its page is docs/tours/NAME.md.
        title: Its title.
        reader: The reader it is for, as "you write services".
        notebooks: The numbers of its notebooks, in order.
    """

    name: str
    title: str
    reader: str
    notebooks: tuple[str, ...]

    def minutes(self) -> int:
        """Return how long it takes: the sum of its notebooks."""
        return sum(each.minutes for each in chapters() if each.number in self.notebooks)


def tours() -> list[Tour]:
    """Return the tours of the course, in order."""
    found = yaml.safe_load(COURSE.read_text(encoding="utf-8"))["tours"]
    return [
        Tour(each["name"], each["title"], each["for"], tuple(each["notebooks"])) for each in found
    ]


def learner(chapter: Chapter, course: list[Chapter]) -> nbformat.NotebookNode:
    """Return a notebook's learner edition: no outputs, neutral titles, links to that edition."""
    notebook = build_notebooks.read(chapter.source)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, course)
        elif _calls(cell, "predict") or ".reveal(" in cell.source:
            # The reasons stand in it; a run of the cell shows what there is to see.
            cell.metadata["jupyter"] = {"source_hidden": True}
    first = notebook.cells[0]
    heading = f"# {chapter.number} · {chapter.title}"
    first.source = re.sub(r"\A# .*", lambda _: heading, first.source)
    return notebook


def solved(notebook: nbformat.NotebookNode, number: str) -> nbformat.NotebookNode:
    """Put a solution, and the check once more, after each exercise's check.

    One run of the result shows both editions of an exercise: untouched, and solved.
    """
    answers = solutions(number)
    cells, waiting = [], []
    for cell in notebook.cells:
        cells.append(cell)
        if "exercise" in cell.metadata.get("tags", []):
            waiting.append(cell)
        for name in checks(cell):
            code = answers[name]
            cells += [nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell(cell.source)]
            waiting.clear()
    if waiting:
        raise ValueError(f"an exercise of {number} is never checked")
    notebook.cells = cells
    return notebook


def solutions(number: str) -> dict[str, str]:
    """Return a notebook's solutions by the numbers of their exercises."""
    text = (SOLUTIONS / f"{number}.py").read_text(encoding="utf-8")
    parts = re.split(r"^# %% (?:exercise (\S+))?.*\n", text, flags=re.MULTILINE)
    return {name: code.strip() for name, code in zip(parts[1::2], parts[2::2], strict=True) if name}


def contents(notebook: nbformat.NotebookNode) -> Contents:
    """Return the numbers of a notebook's predictions and exercises."""
    predictions = [number for cell in notebook.cells for number in _calls(cell, "predict")]
    exercises = [number for cell in notebook.cells for number in checks(cell)]
    return Contents(tuple(predictions), tuple(dict.fromkeys(exercises)))


def checks(cell: nbformat.NotebookNode) -> list[str]:
    """Return the numbers of the exercises that a cell checks."""
    return _calls(cell, "check")


def _calls(cell: nbformat.NotebookNode, method: str) -> list[str]:
    if cell.cell_type != "code" or f"lesson.{method}(" not in cell.source:
        return []
    return [
        node.args[0].value
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == f"lesson.{method}"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]


def linked(text: str, course: list[Chapter]) -> str:
    """Point links to notebooks at the learner edition, and call them by its titles."""
    for chapter in course:
        text = re.sub(
            rf"\[{chapter.number}\b[^\]]*\](\([./\w]*?){chapter.file}\.ipynb",
            lambda found, each=chapter: (  # type: ignore[misc]
                f"[{each.number} · {each.title}]{found[1]}{each.learner}.ipynb"
            ),
            text,
        )
        text = re.sub(
            rf"(\]\([./\w]*?)\b{chapter.file}\.ipynb", rf"\g<1>{chapter.learner}.ipynb", text
        )
    return text
