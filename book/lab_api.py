"""Fill the API page of the laboratory with what the notebooks import from it."""

import ast
import json
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass, isfunction, ismodule
from pathlib import Path

from sphinx.application import Sphinx

PAGE = "docs/api/stream_lab"
PLACE = "<!-- what the notebooks import -->"


def imports(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the modules and names that notebooks import from the laboratory."""
    for path in sorted(folder.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] != "code":
                continue
            code = "".join(line for line in cell["source"] if not line.startswith(("%", "!")))
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            for node in ast.walk(compile(code, path.name, "exec", flags)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                    "stream_lab"
                ):
                    yield from ((str(node.module), alias.name) for alias in node.names)


def members(folder: Path) -> dict[str, set[str]]:
    """Return the names to describe by module; no name means the whole module."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, name in imports(folder):
        home_of_name = import_module(module)
        if not hasattr(home_of_name, name):
            import_module(f"{module}.{name}")
        thing = getattr(home_of_name, name)
        if ismodule(thing):
            found[thing.__name__] = set()
        elif isclass(thing) or isfunction(thing):
            home = found.get(thing.__module__)
            if home is None or home:
                found[thing.__module__].add(name)
    return found


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the mark in the page by a section for each module."""
    if page != PAGE:
        return
    sections = [
        f"## `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n"
        f"   :members: {', '.join(sorted(names))}\n```\n"
        for module, names in sorted(members(Path(app.srcdir) / "notebooks").items())
    ]
    source[0] = source[0].replace(PLACE, "\n".join(sections))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook, which Sphinx calls for each page before it is parsed."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
