"""Small notebooks for tests of what runs notebooks."""

from pathlib import Path

import nbformat

GOOD = 'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="yes"); e.table()'
BAD = 'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="no"); e.table()'
UNKNOWN = (
    "from stream_lab.experiment.evidence import Unknown\n"
    'e = Evidence("{number}"); e.claim("it holds", expected="yes", found=Unknown("who knows")); e.table()'
)


def write(folder: Path, number: str, *cells: str) -> None:
    """Write a small notebook: the parameters that every notebook has, and these cells."""
    parameters = nbformat.v4.new_code_cell(
        "BASE_URL = None\nMODEL = None\nTIMEOUT = 2.0", metadata={"tags": ["parameters"]}
    )
    title = nbformat.v4.new_markdown_cell(f"# {number} · A `test`")
    start = nbformat.v4.new_code_cell("from stream_lab.experiment.evidence import Evidence")
    rest = [nbformat.v4.new_code_cell(cell.replace("{number}", number)) for cell in cells]
    language = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = nbformat.v4.new_notebook(cells=[title, parameters, start, *rest], metadata=language)
    folder.mkdir(exist_ok=True)
    (folder / f"{number}_test.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
