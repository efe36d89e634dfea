"""Link each page's first use of a glossary term, with a hover text.

The terms are the headings of docs/glossary.md. A page needs no markup for them, so it reads well
as plain Markdown, too.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from book.prose import TermLink, insert, texts, to_page

GLOSSARY = Path(__file__).parents[1] / "docs" / "glossary.md"
WITHOUT = re.compile(r"docs/glossary|docs/api/|docs/contributing|CHANGELOG")
"""Pages without hover texts: their words are links already, names, or examples of wording."""


class Term(NamedTuple):
    """An entry of the glossary.

    Attributes:
        anchor: the heading's anchor on the glossary's page.
        meaning: the first paragraph under it, as plain text.
        words: a pattern for the words that mean it.
    """

    anchor: str
    meaning: str
    words: "re.Pattern[str]"


@cache
def read_terms(page: Path = GLOSSARY) -> tuple[Term, ...]:
    """Return the terms of a glossary."""
    entries = re.findall(
        r"^## (.+)\n\n(.+(?:\n.+)*)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    terms = []
    for name, paragraph in entries:
        meaning = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", " ".join(paragraph.split()))
        anchor = re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")
        plain = re.escape(name).replace(r"\ ", r"\s+")
        words = re.compile(rf"(?<![\w/.-]){plain}(?:s|es)?(?![\w/-])", re.IGNORECASE)
        terms.append(Term(anchor, meaning, words))
    return tuple(terms)


class HoverTexts(SphinxTransform):
    """Link the first use of each term on a page to the glossary."""

    default_priority = 850  # after the numbers of notebooks

    def apply(self, **_: Any) -> None:
        """Link the terms of one page."""
        if WITHOUT.match(self.env.docname):
            return
        left = list(read_terms())
        for text in texts(self.document):
            insert(text, self.links(text.astext(), left))

    def links(self, said: str, left: list[Term]) -> Iterator[tuple[int, int, TermLink]]:
        """Yield the places of terms with their links, and take the terms off the list."""
        done = 0
        while True:
            found = [(match, term) for term in left if (match := term.words.search(said, done))]
            if not found:
                return
            # Of two terms at one place, the longer: "ambient deadline" before "deadline".
            match, term = min(found, key=lambda each: (each[0].start(), -each[0].end()))
            left.remove(term)
            done = match.end()
            target = to_page(self.env.docname, f"docs/glossary.html#{term.anchor}")
            yield (
                match.start(),
                match.end(),
                TermLink("", match.group(), refuri=target, meaning=term.meaning),
            )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform with Sphinx."""
    app.add_transform(HoverTexts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
