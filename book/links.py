"""Links to files of the project that are not pages of the book.

A link to a file becomes a download, as MyST makes it. A link to a folder becomes its name as code,
since a page cannot show a folder.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


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
                name = target.relative_to(root).as_posix()
                text = link.astext()
                said = [] if name.endswith(text.strip("/")) else [nodes.Text(f"{text} (")]
                closed = [nodes.Text(")")] if said else []
                link.replace_self([*said, nodes.literal(name, name), *closed])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform with Sphinx."""
    app.add_transform(FoldersAsNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
