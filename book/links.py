"""Links that plain Markdown does not have, and links to what is not a page.

A link to a file of the project becomes a download, as MyST makes it. A link to a folder becomes its
path as code, since a page cannot show a folder. The words "notebook 05" become a link.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from book.prose import insert, texts, to_page

NUMBER = r"\d\d[a-z]?\b"
NUMBERS = re.compile(rf"[Nn]otebooks?\s+{NUMBER}(?:(?:,\s|\sand\s|\sor\s){NUMBER})*")


class FoldersAsNames(SphinxTransform):
    """Replace links to folders by the folder's path."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Replace each link in the page whose target is a folder."""
        root = Path(self.env.srcdir)
        page = (root / self.env.docname).parent
        for link in list(self.document.findall(pending_xref)):
            target = (page / str(link.get("reftarget", ""))).resolve()
            if link.get("reftype") == "myst" and target.is_dir() and root in target.parents:
                name, text = target.relative_to(root).as_posix(), link.astext()
                code = nodes.literal(name, name)
                both = [nodes.Text(f"{text} ("), code, nodes.Text(")")]
                link.replace_self([code] if name.endswith(text.strip("/")) else both)


class NumbersAsLinks(SphinxTransform):
    """Link the numbers of notebooks in running text."""

    default_priority = 840

    def apply(self, **_: Any) -> None:
        """Link each number in the page that has a notebook, except the page's own."""
        for text in texts(self.document):
            insert(text, self.links(text.astext()))

    def links(self, said: str) -> Iterator[tuple[int, int, nodes.reference]]:
        """Yield the places of numbers in a text, with their links."""
        for several in NUMBERS.finditer(said):
            for number in re.finditer(NUMBER, several.group()):
                found = sorted(Path(self.env.srcdir, "notebooks").glob(f"{number.group()}_*.ipynb"))
                if not found or self.env.docname == f"notebooks/{found[0].stem}":
                    continue
                start = several.start() + number.start() if number.start() else several.start()
                target = to_page(self.env.docname, f"notebooks/{found[0].stem}.html")
                link = nodes.reference("", number.group(), refuri=target, internal=True)
                yield start, several.start() + number.end(), link


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transforms with Sphinx."""
    app.add_transform(FoldersAsNames)
    app.add_transform(NumbersAsLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
