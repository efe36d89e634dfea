"""The files of one look, in which imported names are followed."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from stream_lab.lint.files import read
from stream_lab.lint.module import Module


class Project:
    """The Python files that are checked.

    A file is read a second time only if a rule follows a name into it.

    Args:
        paths: All files of the look.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._files: dict[str, list[Path]] = defaultdict(list)
        for path in paths:
            if path.suffix == ".py":
                name = path.parent.name if path.name == "__init__.py" else path.stem
                self._files[name].append(path)
        self._modules: dict[Path, Module | None] = {}

    def find(self, parts: list[str], level: int, importer: Path) -> Module | None:
        """Return the module that an import names.

        Args:
            parts: The module's name, as ["app", "models"] for `app.models`.
            level: The dots before the name. 0: an absolute import.
            importer: The file that has the import. Of several files that match, the one that
                shares the most folders with it is taken.

        Returns:
            None: No such module is among the files, or it cannot be read.
        """
        if level:
            folder = importer.parents[min(level, len(importer.parents)) - 1].joinpath(*parts)
            found = [path for path in self._files[folder.name] if _without_suffix(path) == folder]
        elif parts:
            found = [path for path in self._files[parts[-1]] if _is_named(path, parts)]
        else:
            return None
        found = [path for path in found if path != importer]
        if not found:
            return None
        near = max(found, key=lambda path: _shared(path, importer))
        if near not in self._modules:
            source, _ = read(near)
            self._modules[near] = None if source is None else Module(source, self)
        return self._modules[near]


def _without_suffix(path: Path) -> Path:
    return path.parent if path.name == "__init__.py" else path.with_suffix("")


def _is_named(path: Path, parts: list[str]) -> bool:
    return list(_without_suffix(path).parts[-len(parts) :]) == parts


def _shared(one: Path, other: Path) -> int:
    count = 0
    for left, right in zip(one.parts, other.parts, strict=False):
        if left != right:
            break
        count += 1
    return count
