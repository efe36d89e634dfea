"""The reader's folder with the files of the service."""

import ast
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from types import EllipsisType

from stream_lab.course.exercise import Wrong
from stream_lab.course.store import find_course

NAME = "capstone"
SHIPPED = {"relay.py": "relay.py.txt", "nginx.conf": "nginx.conf", "relay.env": "relay.env"}
"""The files, with their names in the package, where no linter takes the relay for our own code."""


@dataclass(frozen=True)
class Repair:
    """The files as they are when a ticket is closed, and the note that closes it."""

    note: str
    files: dict[str, str]

    def __repr__(self) -> str:
        """Return what tells one attempt from another."""
        content = "\0".join(self.files.values()).encode()
        return f"{self.note!r}, {hashlib.sha256(content).hexdigest()[:12]}"


class ServiceFolder:
    """A folder with the files of the service.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, *, removed: TemporaryDirectory[str] | None = None) -> None:
        """Write the files that are missing; a file that is there stays as it is.

        Args:
            path: The folder.
            removed: The temporary folder around it, which is removed with this object. None: the
                folder is kept.
        """
        self.path = path
        self._removed = removed
        path.mkdir(parents=True, exist_ok=True)
        for name, text in shipped().items():
            file = path / name
            if not file.exists():
                file.write_text(text, encoding="utf-8")

    def read(self) -> dict[str, str]:
        """Return the files by name.

        Raises:
            Wrong: A file is missing, or is no text.
        """
        found = {}
        for name in SHIPPED:
            try:
                found[name] = (self.path / name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise Wrong(
                    f"{name} is missing or is no text. Run the cell that opens the folder: it "
                    "writes the files that are missing."
                ) from None
        return found

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text of a file.

        Raises:
            ValueError: The file does not have it.
        """
        self._write(name, edited(self.read()[name], old, new))

    def redefine(self, name: str, code: str = "") -> None:
        """Replace a function or a class of relay.py, with its decorators; no code removes it.

        Raises:
            ValueError: relay.py does not define it.
        """
        self._write("relay.py", redefined(self.read()["relay.py"], name, code))

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def repaired(self, note: object) -> Repair | EllipsisType:
        """Return the files as an answer. `...`: there is no note, or no file has been changed.

        Args:
            note: What was wrong, in a sentence. `...`: the ticket is not closed yet.
        """
        found = {name: file for name in SHIPPED if (file := self.path / name).exists()}
        texts = {name: file.read_text("utf-8", "replace") for name, file in found.items()}
        if note is ... or texts == shipped():
            return ...
        return Repair(note if isinstance(note, str) else "", texts)

    def __repr__(self) -> str:
        changed = [name for name, text in self.read().items() if text != shipped()[name]]
        return f"{', '.join(SHIPPED)}; changed: {', '.join(changed) or 'none'}"


def open_folder() -> ServiceFolder:
    """Open the folder `capstone` beside the notebook, or a temporary one outside of a course."""
    if find_course(Path.cwd()) is not None:
        return ServiceFolder(Path(NAME).absolute())
    temporary = TemporaryDirectory(prefix=f"{NAME}-")
    return ServiceFolder(Path(temporary.name), removed=temporary)


def shipped() -> dict[str, str]:
    """Return the files as they were before any repair, by name."""
    folder = files("stream_lab.course.capstone") / "service"
    return {name: (folder / ours).read_text(encoding="utf-8") for name, ours in SHIPPED.items()}


def edited(text: str, old: str, new: str) -> str:
    """Return a text with another one in the place of `old`.

    Raises:
        ValueError: The text does not have it.
    """
    if old not in text:
        raise ValueError(f"{old!r} is not there")
    return text.replace(old, new)


def redefined(source: str, name: str, code: str) -> str:
    """Return a module with other code in the place of a function or a class.

    Raises:
        ValueError: The module does not define it.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            node.name == name
        ):
            lines = source.splitlines()
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
            return "\n".join([*lines[:first], code.strip("\n"), *lines[node.end_lineno :], ""])
    raise ValueError(f"{name} is not defined at the top of the module")
