"""The Python files below some paths, read and never run."""

import ast
import codecs
import io
import json
import os
import re
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stream_lab.lint.finding import NOT_READ, Finding

SKIPPED: Final = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "env"})
"""Folders of third-party code; hidden folders and virtual environments are skipped as well."""
LARGEST: Final = 5_000_000
"""In bytes. A larger file is taken for data."""
OF_NAMES: Final = frozenset({"idna", "punycode", "undefined"})
"""Encodings of host names, too slow for a long file, and the one that decodes nothing."""

# These magics run the rest of the cell as Python; under any other, the cell is another language.
_PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun", "%%memit")
_MAGIC = re.compile(r"^(\s*)(%|!|\?|[\w.]+\?{1,2}\s*$|(pip|conda|mamba) \w)|^\s*[\w, ]+=\s*[%!]")


@dataclass(frozen=True)
class Source:
    """A file's Python code, parsed.

    Attributes:
        tree: the syntax tree; in a notebook, of all readable cells one below the other.
        lines: the text of `tree`, line by line.
        cells: in a notebook, for each of `lines`: the cell, the line within it, and the columns of
            indentation that were cut. None: the file is not a notebook.
    """

    path: Path
    text: str
    tree: ast.Module
    lines: list[str]
    cells: list[tuple[int, int, int]] | None = None

    def place(self, line: int, column: int) -> tuple[int | None, int, int]:
        """Return cell, line and column as an editor shows them.

        Args:
            line: a line of `tree`, counted from 1.
            column: a column of `tree`, in bytes from 0.
        """
        # Python counts columns in bytes of UTF-8; editors count characters.
        seen = len(self.lines[line - 1].encode()[:column].decode(errors="ignore")) + 1
        if self.cells is None:
            return None, line, seen
        cell, line, cut = self.cells[line - 1]
        return cell, line, seen + cut


def not_read(
    path: Path, why: str, *, cell: int | None = None, line: int = 0, column: int = 0
) -> Finding:
    """Return the finding for something unreadable; `why` is a sentence without "Not read:"."""
    return Finding(path, cell, line, column, NOT_READ, f"Not read: {why}", "")


def find(
    paths: Iterable[str | os.PathLike[str]], leave_out: Callable[[Path], bool] = lambda path: False
) -> Iterator[Path | Finding]:
    """Yield each file to read once: those named, and `*.py` and `*.ipynb` below the folders.

    Args:
        paths: files and folders.
        leave_out: tells whether a file is not to be read.
    """
    seen: set[Path] = set()
    for path in map(Path, paths):
        for found in _below(path) if path.is_dir() else iter([path]):
            if isinstance(found, Finding):
                yield found
            elif leave_out(found):
                continue
            elif (real := found.resolve()) not in seen:
                seen.add(real)
                yield found


def _below(folder: Path) -> Iterator[Path | Finding]:
    problems: list[OSError] = []
    count = 0
    for where, folders, names in os.walk(folder, onerror=problems.append):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in SKIPPED
            and not os.path.exists(os.path.join(where, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            if name.endswith((".py", ".ipynb")):
                count += 1
                yield Path(where, name)
    for problem in problems:
        yield not_read(Path(problem.filename), f"{problem.strerror}.")
    if not count and not problems:
        yield not_read(folder, "no Python file (*.py, *.ipynb) is in this folder.")


def read(path: Path) -> tuple[Source | None, list[Finding]]:
    """Return the parsed file, and findings for what could not be read of it."""
    try:
        if not path.exists():
            return None, [not_read(path, "there is no such file or folder.")]
        if not path.is_file():
            return None, [not_read(path, "it is not a file.")]
        if (size := path.stat().st_size) > LARGEST:
            return None, [
                not_read(
                    path,
                    f"it has {size:,} bytes, and files over {LARGEST:,} are taken for data.",
                )
            ]
        content = path.read_bytes()
    except OSError as error:
        return None, [not_read(path, f"{error.strerror}.")]
    if path.suffix == ".ipynb":
        return _notebook(path, content)
    if b"\0" in content:
        return None, [not_read(path, "it is binary, not text.")]
    try:
        text = _decode(content)
        return Source(path, text, _parse(text), text.splitlines()), []
    except (SyntaxError, UnicodeDecodeError, RecursionError, MemoryError, ValueError) as error:
        return None, [_no_python(path, error)]


def _decode(content: bytes) -> str:
    """Decode as Python does: as UTF-8, or as the file's first lines say.

    Raises:
        SyntaxError: the file names an unknown encoding.
        UnicodeDecodeError: the file is in another encoding.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    try:
        if codecs.lookup(encoding).name in OF_NAMES:
            raise LookupError
        text = content.decode(encoding)
    except LookupError:  # it is not of text, as rot13 and zlib
        raise SyntaxError(f"unknown encoding: {encoding}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ")


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are not our subject
        return ast.parse(text)


def _no_python(path: Path, error: Exception, cell: int | None = None) -> Finding:
    if isinstance(error, UnicodeDecodeError):
        return not_read(
            path,
            f"byte {error.start} is not {error.encoding}, and the file names no other encoding.",
            cell=cell,
        )
    if isinstance(error, SyntaxError):
        what = (error.msg or "syntax error").rstrip(".").split(" (")[0]
        # The column of an error at the end of a file can lie before it.
        return not_read(
            path,
            f"it is not valid Python for this version: {what}.",
            cell=cell,
            line=error.lineno or 0,
            column=max(0, error.offset or 0),
        )
    if isinstance(error, RecursionError | MemoryError):
        return not_read(path, "it is nested too deeply.", cell=cell)
    return not_read(path, f"it is not valid Python: {error}.", cell=cell)


def _notebook(path: Path, content: bytes) -> tuple[Source | None, list[Finding]]:
    try:
        notebook = json.loads(content)
        cells = [_text(cell) for cell in notebook["cells"] if cell.get("cell_type") == "code"]
        language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, [not_read(path, "it is not a notebook of format 4.")]
    if str(language).lower() != "python":
        return None, [not_read(path, f"it is a notebook in {language}.")]
    problems: list[Finding] = []
    lines: list[str] = []
    places: list[tuple[int, int, int]] = []
    for number, cell in enumerate(cells, start=1):
        if (plain := _without_magics(cell)) is None:
            continue
        plain, cut = _without_indent(plain)
        try:
            _parse("\n".join(plain))
        except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
            problems.append(_no_python(path, error, number))
            continue
        lines += plain
        places += [(number, line, cut) for line in range(1, len(plain) + 1)]
    text = "\n".join(lines)
    return Source(path, text, _parse(text), lines, places), problems


def _text(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _without_magics(cell: str) -> list[str] | None:
    """Return a cell's lines with IPython's own left empty. None: the cell is not Python."""
    lines = cell.replace("\r\n", "\n").replace("\f", " ").split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith("%%"):
        if not first.lstrip().startswith(_PYTHON_MAGICS):
            return None
        lines[lines.index(first)] = ""
    goes_on = False
    for index, line in enumerate(lines):
        if goes_on:
            lines[index] = ""
        elif match := _MAGIC.match(line):
            lines[index] = f"{match.group(1) or ''}pass"
        else:
            continue
        goes_on = line.endswith("\\")
    return lines


def _without_indent(lines: list[str]) -> tuple[list[str], int]:
    """Return the lines without the indentation of the first, and its width."""
    first = next((line for line in lines if line.strip()), "")
    cut = len(first) - len(first.lstrip())
    if not all(line[:cut].isspace() or not line[:cut] for line in lines):
        return lines, 0
    return [line[cut:] for line in lines], cut
