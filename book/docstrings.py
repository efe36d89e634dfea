"""Examples in docstrings are code, and endless signatures are left out.

An indented block after a paragraph is an example, as in Markdown.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sphinx.application import Sphinx

CODE = ".. code-block:: python"
LONGEST = 500
"""The most characters of a class's signature."""


def with_code_blocks(lines: Iterable[str]) -> Iterator[str]:
    """Yield a docstring's lines, with a directive before each indented example."""
    paragraph, blank = "", True
    for line in lines:
        indented = line.startswith("    ")
        example = blank and indented and paragraph and not paragraph.startswith((" ", ".. "))
        if example and not paragraph.endswith("::"):
            yield from (CODE, "")
        yield line
        blank = not line.strip()
        paragraph = line if not blank else paragraph


def process(
    _app: Sphinx, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]
) -> None:
    """Replace the lines of a docstring; Sphinx calls this for each."""
    lines[:] = with_code_blocks(lines)


def shorten(
    _app: Sphinx,
    what: str,
    _name: str,
    _thing: Any,
    _options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Leave out the signature of a class with a field for each setting of LangChain."""
    return ("(…)", returns) if what == "class" and len(signature or "") > LONGEST else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook, before the one that reads Google's sections."""
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
