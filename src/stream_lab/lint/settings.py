"""Which rules apply and which files are read: the command line and `[tool.stream-lab.lint]`."""

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from stream_lab.errors import LabError
from stream_lab.lint.rules import RULES
from stream_lab.untrusted import one_line

IDS: Final = tuple(rule.id for rule in RULES)
KEYS: Final = ("select", "ignore", "exclude")


class SettingsError(LabError):
    """Raised when a setting names no rule, or `pyproject.toml` cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What a look reports, and what it leaves out.

    Attributes:
        select: the ids of the rules to apply. None: all of them.
        ignore: the ids of rules that are not applied, although selected.
        exclude: patterns of paths that are not read, even if they are named. A pattern without a
            slash matches the name of any file or folder; another one matches a path below `root`.
        root: the folder of `pyproject.toml`. None: the current folder.
    """

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    root: Path | None = None

    def applies(self, rule: str) -> bool:
        """Tell whether a rule is applied."""
        return (self.select is None or rule in self.select) and rule not in self.ignore

    def leaves_out(self, path: Path) -> bool:
        """Tell whether a pattern excludes a path, or a folder that contains it."""
        if not self.exclude:
            return False
        root = (self.root or Path.cwd()).resolve()
        real = path.resolve()
        parts = (real.relative_to(root) if real.is_relative_to(root) else real).parts
        folders = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        for pattern in (each.strip("/").removeprefix("./") for each in self.exclude):
            if any(fnmatch(name, pattern) for name in (*parts, *folders)):
                return True
        return False

    def with_options(self, *, select: Iterable[str], ignore: Iterable[str]) -> "Settings":
        """Return the settings after the command line: it replaces `select`, and adds to `ignore`.

        Args:
            select: rules, or several with commas between them. Empty: no option was given.
            ignore: likewise.

        Raises:
            SettingsError: There is no such rule.
        """
        chosen = _split(select)
        more = _split(ignore)
        for option, rules in (("--select", chosen), ("--ignore", more)):
            _check(rules, option)
        return replace(
            self,
            select=tuple(chosen) if chosen else self.select,
            ignore=(*self.ignore, *more),
        )


def settings_for(paths: Iterable[str | os.PathLike[str]]) -> Settings:
    """Return the settings of the project that contains some paths.

    They are in the nearest `pyproject.toml` that has the table `[tool.stream-lab.lint]`: in the
    paths' common folder or above it, up to the root of the repository.

    Raises:
        SettingsError: The file cannot be read, or a value in it is wrong.
    """
    real = [Path(path).resolve() for path in paths]
    folder = Path(os.path.commonpath(real)) if real else Path.cwd()
    if not folder.is_dir():
        folder = folder.parent
    for each in (folder, *folder.parents):
        file = each / "pyproject.toml"
        if file.is_file() and (table := _table(file)) is not None:
            return _settings(file, table)
        if (each / ".git").exists():
            break
    return Settings()


def _table(file: Path) -> Any:
    try:
        whole = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(
            f"{file} is not TOML: {one_line(error)}. Correct it, or move it."
        ) from None
    except RecursionError:
        raise SettingsError(f"{file} is nested too deeply. Correct it, or move it.") from None
    found: Any = whole
    for key in ("tool", "stream-lab", "lint"):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _settings(file: Path, table: Any) -> Settings:
    where = f"{file}: [tool.stream-lab.lint]"
    if not isinstance(table, dict):
        raise SettingsError(f"{where} must be a table.")
    for key, value in table.items():
        if key not in KEYS:
            raise SettingsError(
                f"{where} has no setting '{one_line(key)}'; there are: {', '.join(KEYS)}."
            )
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise SettingsError(f"{where} {key} must be a list of strings.")
        if key != "exclude":
            _check(value, f"{where} {key}")
    return Settings(
        select=tuple(table["select"]) if "select" in table else None,
        ignore=tuple(table.get("ignore", ())),
        exclude=tuple(table.get("exclude", ())),
        root=file.parent,
    )


def _split(values: Iterable[str]) -> list[str]:
    return [each.strip() for value in values for each in value.split(",") if each.strip()]


def _check(rules: Iterable[str], where: str) -> None:
    for rule in rules:
        if rule not in IDS:
            named = one_line(rule, 80)
            near = get_close_matches(named, IDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(IDS)}."
            raise SettingsError(f"{where} names no rule '{named}'; {hint}")
