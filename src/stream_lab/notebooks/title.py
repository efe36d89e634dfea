"""The title of a notebook."""

from collections.abc import Sequence
from typing import Any


def title_of(cells: Sequence[dict[str, Any]]) -> str:
    """Return the first heading of a notebook, without its number; empty: it has no text.

    Args:
        cells: as the notebook's JSON has them.
    """
    for cell in cells:
        if cell["cell_type"] == "markdown":
            first = "".join(cell["source"]).splitlines()[0].lstrip("# ")
            return (first.partition("·")[2] or first).strip().replace("`", "")
    return ""
