"""Link the first use of a glossary term on each page, with its meaning as a hover text.

The terms are the headings of docs/glossary.md. A page needs no markup for them, so it reads well
as plain Markdown, too.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

GLOSSARY = Path(__file__).parents[1] / "docs" / "glossary.md"
LEFT_ALONE = (nodes.title, nodes.literal, nodes.literal_block, nodes.reference, nodes.Inline)
"""Nodes whose text stays as it is; emphasis and the like are read."""
READ = (nodes.emphasis, nodes.strong)


class Term(NamedTuple):
    """An entry of the glossary.

    Attributes:
        name: the heading.
        anchor: the heading's anchor on the glossary's page.
        meaning: the first paragraph under it, as plain text.
        words: a pattern for the words that mean it.
    """

    name: str
    anchor: str
    meaning: str
    words: "re.Pattern[str]"


@cache
def read_terms(page: Path = GLOSSARY) -> tuple[Term, ...]:
    """Return the terms of a glossary, longer names first."""
    entries = re.findall(
        r"^## (.+)\n\n(.+(?:\n.+)*)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    terms = []
    for name, paragraph in entries:
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
        anchor = re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")
        plain = re.escape(name).replace(r"\ ", r"\s+")
        words = re.compile(rf"(?<![\w/.-]){plain}(?:s|es)?(?![\w/-])", re.IGNORECASE)
        terms.append(Term(name, anchor, text.replace("`", "").replace("*", ""), words))
    return tuple(sorted(terms, key=lambda term: -len(term.name)))


class HoverTexts(SphinxTransform):
    """Link the first use of each term on a page to the glossary."""

    default_priority = 850  # after references are made, so that no link gets another inside

    def apply(self, **_: Any) -> None:
        """Link the terms of one page."""
        if self.env.docname in ("docs/glossary", "CHANGELOG") or "/api/" in self.env.docname:
            return
        left = list(read_terms())
        for text in list(self.document.findall(nodes.Text)):
            if left and self.may_link(text):
                self.link(text, left)

    def may_link(self, text: nodes.Text) -> bool:
        """Tell whether a text is running prose: in a paragraph, in no link and no code."""
        node, paragraph = text.parent, False
        while node is not None:
            if isinstance(node, LEFT_ALONE) and not isinstance(node, READ):
                return False
            paragraph = paragraph or isinstance(node, nodes.paragraph)
            node = node.parent
        return paragraph

    def link(self, text: nodes.Text, left: list[Term]) -> None:
        """Replace the terms in one text, and take them off the list."""
        said, parts = text.astext(), []
        while said:
            found = [(match.start(), term, match) for term in left if (match := term.words.search(said))]
            if not found:
                break
            start, term, match = min(found, key=lambda each: each[0])
            parts += [nodes.Text(said[:start]), self.reference(term, match.group())]
            left.remove(term)
            said = said[match.end() :]
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(said)])

    def reference(self, term: Term, words: str) -> nodes.reference:
        """Return a link to the glossary that shows the meaning of a term."""
        depth = self.env.docname.count("/")
        uri = f"{'../' * depth}docs/glossary.html#{term.anchor}"
        link = nodes.reference("", words, refuri=uri, internal=True, classes=["term"])
        link["reftitle"] = term.meaning
        return link


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform with Sphinx."""
    app.add_transform(HoverTexts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
