"""Build notebooks/*.ipynb, executed, from notebooks/source/*.py.

`python tools/build_notebooks.py [NAME…]` builds all notebooks, or those whose file name begins with
one of the names (`04`).
"""

import base64
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "notebooks" / "source"
CELL_LIMIT = 60
COVER = "05"  # the README shows the first picture of this notebook


def read(source: Path) -> nbformat.NotebookNode:
    """Return a source file's notebook, not executed, without what differs between machines."""
    notebook: nbformat.NotebookNode = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.NotebookNode(
        kernelspec=nbformat.NotebookNode(
            display_name="Python 3", language="python", name="python3"
        ),
        language_info=nbformat.NotebookNode(name="python"),
    )
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    return notebook


def build(source: Path) -> None:
    """Execute a notebook and write it."""
    notebook = read(source)
    target = ROOT / "notebooks" / f"{source.stem}.ipynb"
    client = NotebookClient(
        notebook,
        timeout=CELL_LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(target.parent)}},
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    if source.stem.startswith(COVER):
        pictures = [
            output.data["image/png"]
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        (ROOT / "docs" / "chain.png").write_bytes(base64.b64decode(pictures[0]))


def main(names: list[str]) -> int:
    """Build the notebooks with these names, and return the exit status."""
    sources = [
        source
        for source in sorted(SOURCE.glob("*.py"))
        if not names or source.name.startswith(tuple(names))
    ]
    if not sources:
        print(f"No notebook begins with {', '.join(names)}.", file=sys.stderr)
        return 2
    for source in sources:
        started = time.monotonic()
        print(f"{source.stem} … ", end="", flush=True)
        try:
            build(source)
        except CellExecutionError as error:
            print(f"failed\n{error}", file=sys.stderr)
            return 1
        print(f"{time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
