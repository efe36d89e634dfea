"""Small notebooks for tests of what runs notebooks."""

from pathlib import Path

import nbformat
import psutil

GOOD = 'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="yes"); e.table()'
BAD = 'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="no"); e.table()'
UNKNOWN = (
    "from stream_lab.experiment.evidence import Unknown\n"
    'e = Evidence("{number}"); e.claim("it holds", expected="yes", found=Unknown("who knows")); e.table()'
)


MEANT = "raises-exception"
LEAVES = """
import subprocess
child = subprocess.Popen(["sleep", "{mark}"], stdout=subprocess.DEVNULL)
subprocess.Popen(["sh", "-c", "setsid sleep {mark} > /dev/null 2>&1 < /dev/null &"]).wait()
"""
"""Leaves two processes: a child, and one in a session of its own whose parent has ended."""


def left_behind(mark: str) -> list[int]:
    """Return the processes of LEAVES that still run, of any notebook."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["cmdline"] == ["sleep", mark]
    ]


def write(folder: Path, number: str, *cells: str | tuple[str, str]) -> None:
    """Write a small notebook: the parameters that every notebook has, and these cells.

    Args:
        folder: Where to write it.
        number: Its number, as "01".
        cells: The text of each, or its text and a tag.
    """
    parameters = nbformat.v4.new_code_cell(
        "BASE_URL = None\nMODEL = None\nTIMEOUT = 2.0", metadata={"tags": ["parameters"]}
    )
    title = nbformat.v4.new_markdown_cell(f"# {number} · A `test`")
    start = nbformat.v4.new_code_cell("from stream_lab.experiment.evidence import Evidence")
    tagged = [(cell, []) if isinstance(cell, str) else (cell[0], [cell[1]]) for cell in cells]
    rest = [
        nbformat.v4.new_code_cell(text.replace("{number}", number), metadata={"tags": tags})
        for text, tags in tagged
    ]
    language = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = nbformat.v4.new_notebook(cells=[title, parameters, start, *rest], metadata=language)
    folder.mkdir(exist_ok=True)
    (folder / f"{number}_test.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
