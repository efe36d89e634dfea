"""What links.py and terms.py share: running text of a page, and links put into it."""

from collections.abc import Iterable, Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

NOT_PROSE = (nodes.title, nodes.thead, nodes.FixedTextElement)
MARKUP = (nodes.emphasis, nodes.strong)
"""The only inline elements whose text is prose; the others are code and links."""


class TermLink(nodes.reference):
    """A link to an entry of the glossary, with its meaning."""


def visit_term(translator: HTML5Translator, node: TermLink) -> None:
    """Begin the link; `meanings.js` shows the meaning."""
    meaning = translator.attval(node["meaning"])
    attributes = {"href": node["refuri"], "data-meaning": meaning, "aria-description": meaning}
    translator.body.append(translator.starttag(node, "a", "", CLASS="term", **attributes))


def depart_term(translator: HTML5Translator, _node: TermLink) -> None:
    """End the link."""
    translator.body.append("</a>")


def texts(document: nodes.document) -> Iterator[nodes.Text]:
    """Yield the running prose of a page: no code, links, titles or table heads."""
    for text in list(document.findall(nodes.Text)):
        node, in_paragraph = text.parent, False
        while node is not None:
            if isinstance(node, NOT_PROSE) or (
                isinstance(node, nodes.Inline) and not isinstance(node, MARKUP)
            ):
                break
            in_paragraph = in_paragraph or isinstance(node, nodes.paragraph)
            node = node.parent
        else:
            if in_paragraph:
                yield text


def insert(text: nodes.Text, links: Iterable[tuple[int, int, nodes.reference]]) -> None:
    """Replace parts of a text, given by start and end in order, by links."""
    said, done = text.astext(), 0
    parts: list[nodes.Node] = []
    for start, end, link in links:
        parts += [nodes.Text(said[done:start]), link]
        done = end
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(said[done:])])


def to_page(page: str, target: str) -> str:
    """Return the address of a page of the book, relative to another one."""
    return "../" * page.count("/") + target


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the link with a meaning."""
    app.add_node(TermLink, html=(visit_term, depart_term))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
