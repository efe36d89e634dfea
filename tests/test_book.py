"""The book's sources, without Sphinx: every page has a place, every term a meaning."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from book.browser import without_pictures

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SLIDES = {"index.md", "slides_90_minutes.md"}
"""The first page has the lists, and the slides are a build of their own."""


def listed(index: str) -> list[str]:
    """Return the entries of all lists of pages, relative to docs, as names or patterns."""
    blocks = re.findall(r"```{toctree}\n(.*?)```", index, re.S)
    return [line for block in blocks for line in block.split("\n") if re.match(r"[\w./*]+$", line)]


LISTED = listed((DOCS / "index.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page",
    [path for path in sorted(DOCS.rglob("*.md")) if path.name not in SLIDES],
    ids=lambda path: path.relative_to(DOCS).as_posix(),
)
def test_each_page_of_docs_has_one_place_in_the_book(page: Path) -> None:
    name = page.relative_to(DOCS).with_suffix("").as_posix()
    assert sum(fnmatch(name, entry) for entry in LISTED) == 1


def test_each_entry_of_the_book_is_a_page_or_a_pattern() -> None:
    plain = [entry for entry in LISTED if "*" not in entry]
    assert [entry for entry in plain if not (DOCS / f"{entry}.md").is_file()] == []
    assert {"tours/*", "../notebooks/*"} == set(LISTED) - set(plain)


@pytest.mark.parametrize("path", sorted((ROOT / "book").rglob("*.py")), ids=lambda path: path.stem)
def test_the_settings_and_extensions_parse(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"))


def test_each_term_of_the_glossary_has_one_short_paragraph_in_order() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^## (.+)\n\n((?:(?!## ).+\n)+)(?=\n## |\Z)", text, re.M)
    assert len(terms) == text.count("\n## ") > 20
    assert [name for name, _ in terms] == sorted((name for name, _ in terms), key=str.lower)
    assert [name for name, meaning in terms if len(meaning.split()) > 45] == []


def test_a_notebook_for_the_browser_loses_what_draws_and_nothing_else() -> None:
    names: set[str] = set()
    imports = "import asyncio\nfrom stream_lab.experiment import pictures"
    assert without_pictures(imports, names) == "import asyncio"
    stepped = "from stream_lab.experiment.stepped import stepped"
    assert without_pictures(stepped, names) == ""
    cell = (
        "await asyncio.sleep(0)\npictures.timeline(\n    {},\n    title='t',\n)\nstepped(log)\nlog"
    )
    assert without_pictures(cell, names) == "await asyncio.sleep(0)\nlog"
