"""The cells of the matrix: endpoint × world × notebook × parameters, after the rules."""

import difflib
import hashlib
import math
import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from stream_lab.notebooks.notebook import Notebook, NotebookError, read_notebook
from stream_lab.regress.config import Config, ConfigError, Rule
from stream_lab.untrusted import one_line

MOST_CELLS = 5_000
"""Cells of the matrix, before its rules; each is one execution of a notebook."""
MOST_VALUES = 200
"""Rules, and values in them, all together; each is compared with each cell."""
LONGEST_NAME = 150
"""Bytes of the part of a cell's name that its parameters make; a file's name has at most 255."""
_UNFIT = re.compile(r"[^\w.-]")
Values = dict[str, str]
"""What a rule is compared with, by axis."""


@dataclass(frozen=True)
class Cell:
    """One run of one notebook.

    Attributes:
        parameters: The parameters of the matrix, without the endpoint's.
        axes: Names of the parameters that have several values.
    """

    endpoint: str
    world: str
    notebook: Notebook
    parameters: tuple[tuple[str, Any], ...]
    axes: tuple[str, ...] = ()

    @cached_property
    def name(self) -> str:
        """Its name: unique in the matrix, equal in each run, fit for a path."""
        chosen = _short(
            ",".join(
                f"{name}={_plain(value)}" for name, value in self.parameters if name in self.axes
            )
        )
        return "/".join(
            part for part in (self.endpoint, self.world, self.notebook.name, chosen) if part
        )


def cells(config: Config, base: Path) -> list[Cell]:
    """Return the cells in the order of the configuration.

    Args:
        config: The configuration.
        base: The folder that its paths start from.

    Raises:
        ConfigError: A notebook, a parameter or a rule names nothing, or the rules leave no cell; or
            the matrix is too large.
    """
    notebooks = _notebooks(config, base)
    _check_parameters(config, notebooks)
    _check_size(config, notebooks)
    values: dict[str, list[str]] = {
        "endpoint": list(config.endpoints),
        "world": list(config.worlds),
        "notebook": [notebook.name for notebook in notebooks],
        **{name: [_plain(value) for value in found] for name, found in config.parameters.items()},
    }
    include = [_meant("include", rule, values) for rule in config.include]
    exclude = [_meant("exclude", rule, values) for rule in config.exclude]
    axes = tuple(name for name, values in config.parameters.items() if len(values) > 1)
    every = [
        Cell(endpoint, world, notebook, chosen, axes)
        for endpoint, world, notebook in product(config.endpoints, config.worlds, notebooks)
        for chosen in _choices(config, notebook)
    ]
    left = [cell for cell in every if _is_chosen(_values(cell), include, exclude)]
    if not left:
        raise ConfigError("The rules leave nothing to run; look at include and exclude.")
    names = Counter(cell.name for cell in left)
    if twice := next((name for name, times in names.items() if times > 1), None):
        raise ConfigError(
            f"Two cells would both be called {twice}; give each parameter values that differ in "
            "letters or digits."
        )
    return left


def _notebooks(config: Config, base: Path) -> list[Notebook]:
    folder = base / config.folder
    found = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not found:
        raise ConfigError(
            f"There are no notebooks in {config.folder}; correct `folder` in the configuration."
        )
    chosen: list[str] = []
    for pattern in config.notebooks:
        names = [
            name for name in found if fnmatchcase(name, pattern) or name.startswith(f"{pattern}_")
        ]
        if not names:
            near = difflib.get_close_matches(pattern, found, n=1, cutoff=0.4)
            raise ConfigError(
                f"No notebook is called '{one_line(pattern)}'{f'; do you mean {near[0]}?' if near else ''}"
            )
        chosen += [name for name in names if name not in chosen]
    return [_read(found[name]) for name in sorted(chosen)]


def _read(path: Path) -> Notebook:
    try:
        return read_notebook(path)
    except NotebookError as error:
        raise ConfigError(str(error)) from None


def _check_parameters(config: Config, notebooks: list[Notebook]) -> None:
    known = {name for notebook in notebooks for name in notebook.parameters}
    for name in config.parameters:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"; do you mean {near[0]}?" if near else f"; they have {', '.join(sorted(known))}."
            )
            raise ConfigError(f"No notebook has a parameter {one_line(name)}{hint}")


def _check_size(config: Config, notebooks: list[Notebook]) -> None:
    """Refuse a matrix that would take hours to plan, before it is made."""
    choices = sum(
        math.prod(
            len(values) for name, values in config.parameters.items() if name in notebook.parameters
        )
        for notebook in notebooks
    )
    number = len(config.endpoints) * len(config.worlds) * choices
    if number > MOST_CELLS:
        raise ConfigError(
            f"The matrix has {number:,} cells, and {MOST_CELLS:,} are the most; name fewer "
            "endpoints, worlds, notebooks or parameters."
        )
    rules = [*config.include, *config.exclude]
    values = len(rules) + sum(len(patterns) for rule in rules for patterns in rule.values())
    if values > MOST_VALUES:
        raise ConfigError(
            f"There are {values:,} rules and values in them, and {MOST_VALUES} are the most; use "
            "patterns."
        )


def _meant(kind: str, rule: Rule, values: dict[str, list[str]]) -> dict[str, set[str]]:
    """Return the values that a rule means, by axis.

    Args:
        kind: `include` or `exclude`, for the error.
        rule: The rule.
        values: Those of each axis.

    Raises:
        ConfigError: The rule names an axis or a value that there is not.
    """
    meant: dict[str, set[str]] = {}
    for axis, patterns in rule.items():
        if axis not in values:
            raise ConfigError(
                f"A rule of {kind} speaks of '{one_line(axis)}', but there are only "
                f"{', '.join(values)}."
            )
        meant[axis] = set()
        for pattern in patterns:
            text, plain = str(pattern), _plain(pattern)
            found = {
                value
                for value in values[axis]
                if fnmatchcase(value, text) or value == plain or value.startswith(f"{text}_")
            }
            if not found:
                raise ConfigError(
                    f"A rule of {kind} names the {axis} '{one_line(text)}', and there is none."
                )
            meant[axis] |= found
    return meant


def _choices(config: Config, notebook: Notebook) -> list[tuple[tuple[str, Any], ...]]:
    """Return every combination of the parameters that this notebook has."""
    axes = [
        [(name, value) for value in values]
        for name, values in config.parameters.items()
        if name in notebook.parameters
    ]
    return list(product(*axes))


def _values(cell: Cell) -> Values:
    return {
        "endpoint": cell.endpoint,
        "world": cell.world,
        "notebook": cell.notebook.name,
        **{name: _plain(value) for name, value in cell.parameters},
    }


def _is_chosen(
    values: Values, include: list[dict[str, set[str]]], exclude: list[dict[str, set[str]]]
) -> bool:
    def matches(rule: dict[str, set[str]]) -> bool:
        return all(values.get(axis) in meant for axis, meant in rule.items())

    return (not include or any(map(matches, include))) and not any(map(matches, exclude))


def _short(name: str) -> str:
    """Return a name that fits a path; a long one ends with its digest."""
    data = name.encode()
    if len(data) <= LONGEST_NAME:
        return name
    return f"{data[:LONGEST_NAME].decode(errors='ignore')}-{hashlib.sha256(data).hexdigest()[:12]}"


def _plain(value: object) -> str:
    """Return a value in letters that fit a file's name."""
    return _UNFIT.sub("-", str(value))
