"""Read notebooks for the book, with the descriptions of their pictures."""

import nbformat


def read(text: str) -> nbformat.NotebookNode:
    """Return a notebook with alternative texts where MyST-NB reads them: in the cells."""
    notebook: nbformat.NotebookNode = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        described = [
            output.metadata["image/png"]["alt"]
            for output in cell.get("outputs", [])
            if "alt" in output.get("metadata", {}).get("image/png", {})
        ]
        if described:
            cell.metadata["mystnb"] = {"image": {"alt": " ".join(described)}}
    return notebook
