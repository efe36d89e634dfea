"""The built book, whose folder `make book` names in TEST_BOOK."""

import os
import re
from pathlib import Path

from tests.book.site import dead_links, foreign_loads

ROOT = Path(__file__).parents[2]
BUILT = ROOT / os.environ["TEST_BOOK"]


def test_no_link_of_the_book_is_dead() -> None:
    assert list(dead_links(BUILT)) == []


def test_no_page_loads_anything_from_the_network() -> None:
    assert list(foreign_loads(BUILT)) == []


def test_every_notebook_and_every_page_is_in_it() -> None:
    sources = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "docs").rglob("*.md")]
    names = [path.relative_to(ROOT).with_suffix(".html") for path in sources]
    missing = [name for name in names if not (BUILT / name).is_file()]
    assert missing == [Path("docs/slides_90_minutes.html")]
    assert "<section" in (BUILT / "slides" / "index.html").read_text(encoding="utf-8")


def test_a_term_shows_its_meaning() -> None:
    page = (BUILT / "docs" / "index.html").read_text(encoding="utf-8")
    [meaning] = re.findall(r'<a [^>]*data-meaning="([^"]+)"[^>]*glossary.html#token', page)
    assert meaning.startswith("A piece of text that a model makes in one step")


def test_a_dead_link_and_a_foreign_host_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h1 id="here">B</h1>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here"></a><a href="b.html#gone"></a><a href="c.html"></a>'
        '<a href="https://example.org/"></a><script src="https://cdn.example.org/x.js"></script>'
    )
    (tmp_path / "a.css").write_text("@import url(https://fonts.example.org/a.css);")
    assert list(dead_links(tmp_path)) == ["a.html: b.html#gone", "a.html: c.html"]
    assert list(foreign_loads(tmp_path)) == [
        "a.html: https://cdn.example.org/x.js",
        "a.css: @import url(https://",
    ]


def test_the_tables_that_notebooks_print_are_tables() -> None:
    page = (BUILT / "notebooks" / "05_it_fails_in_silence.html").read_text(encoding="utf-8")
    assert re.search(r"<th[^>]*>\s*<p>\s*claim", page)
    assert "| claim |" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.S)
