"""Examples in docstrings: an indented block after a paragraph is code, as in Markdown."""

from collections.abc import Iterable, Iterator
from typing import Any

from sphinx.application import Sphinx

CODE = ".. code-block:: python"


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


def process(_app: Sphinx, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """Replace the lines of a docstring; Sphinx calls this for each."""
    lines[:] = with_code_blocks(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook, before the one that reads Google's sections."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
