"""The cells of the matrix: endpoint × world × notebook × parameters, after the rules."""

import difflib
import math
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from stream_lab.notebooks.notebook import Notebook, NotebookError, read_notebook
from stream_lab.regress.config import Config, ConfigError, Rule

MOST_CELLS = 5_000
"""Cells of the matrix, before its rules; each is one execution of a notebook."""
MOST_VALUES = 200
"""Values in all rules together, each of which is compared with each cell."""


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

    @property
    def name(self) -> str:
        """Its name: unique in the matrix, equal in each run, fit for a path."""
        chosen = ",".join(
            f"{name}={_plain(value)}" for name, value in self.parameters if name in self.axes
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
    _check_rules(config, notebooks)
    axes = tuple(name for name, values in config.parameters.items() if len(values) > 1)
    every = [
        Cell(endpoint, world, notebook, chosen, axes)
        for endpoint, world, notebook in product(config.endpoints, config.worlds, notebooks)
        for chosen in _choices(config, notebook)
    ]
    left = [
        cell
        for cell in every
        if (not config.include or any(_matches(rule, cell) for rule in config.include))
        and not any(_matches(rule, cell) for rule in config.exclude)
    ]
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
                f"No notebook is called '{pattern}'{f'; do you mean {near[0]}?' if near else ''}"
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
            raise ConfigError(f"No notebook has a parameter {name}{hint}")


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
    values = sum(
        len(patterns) for rule in (*config.include, *config.exclude) for patterns in rule.values()
    )
    if values > MOST_VALUES:
        raise ConfigError(
            f"The rules name {values:,} values, and {MOST_VALUES} are the most; use patterns."
        )


def _check_rules(config: Config, notebooks: list[Notebook]) -> None:
    axes: dict[str, list[str]] = {
        "endpoint": list(config.endpoints),
        "world": list(config.worlds),
        "notebook": [notebook.name for notebook in notebooks],
        **{name: [_plain(value) for value in values] for name, values in config.parameters.items()},
    }
    for kind, rules in (("include", config.include), ("exclude", config.exclude)):
        for rule in rules:
            for axis, patterns in rule.items():
                if axis not in axes:
                    raise ConfigError(
                        f"A rule of {kind} speaks of '{axis}', but there are only "
                        f"{', '.join(axes)}."
                    )
                for pattern in patterns:
                    if not any(_is(value, pattern) for value in axes[axis]):
                        raise ConfigError(
                            f"A rule of {kind} names the {axis} '{pattern}', and there is none."
                        )


def _choices(config: Config, notebook: Notebook) -> list[tuple[tuple[str, Any], ...]]:
    """Return every combination of the parameters that this notebook has."""
    axes = [
        [(name, value) for value in values]
        for name, values in config.parameters.items()
        if name in notebook.parameters
    ]
    return list(product(*axes))


def _matches(rule: Rule, cell: Cell) -> bool:
    values = {"endpoint": cell.endpoint, "world": cell.world, "notebook": cell.notebook.name}
    values.update({name: _plain(value) for name, value in cell.parameters})
    return all(
        axis in values and any(_is(values[axis], pattern) for pattern in patterns)
        for axis, patterns in rule.items()
    )


def _is(value: str, pattern: object) -> bool:
    return (
        fnmatchcase(value, str(pattern))
        or value == _plain(pattern)
        or value.startswith(f"{pattern}_")
    )


def _plain(value: object) -> str:
    """Return a value in letters that fit a file's name."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in str(value))
