"""A notebook to run, complete for any machine, and the result that comes back."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Protocol

from stream_lab.experiment.endpoint import KEY_VARIABLE
from stream_lab.experiment.fake import Fake
from stream_lab.notebooks.row import Row


@dataclass(frozen=True)
class Server:
    """The server that a notebook calls; without any field, the fake that the notebook starts.

    Attributes:
        url: The address of a running server; ends in /v1.
        model: The model to ask for.
        key_variable: The name of the variable that holds the server's key.
        key_variables: Such names of every server of the run, which its own notebooks alone get.
        limit: Notebooks at a time, of any server, while this one is called; None: no limit.
        scenario: A scenario for a fake that is started for each notebook.
        options: Flags of that fake.
    """

    url: str | None = None
    model: str | None = None
    key_variable: str = KEY_VARIABLE
    limit: int | None = None
    scenario: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    key_variables: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """The keys of every server of the run, as far as this machine has them."""
        names = {self.key_variable, *self.key_variables}
        return [key for name in names if (key := os.environ.get(name, "").strip())]

    @property
    def kernel_keys(self) -> dict[str, str | None]:
        """The variables with keys for a kernel; None removes one, since it is another server's."""
        names: dict[str, str | None] = dict.fromkeys(
            (self.key_variable, KEY_VARIABLE, *self.key_variables)
        )
        if self.url is None:  # a fake of the notebook's own has no use for a key
            return names
        key = os.environ.get(self.key_variable) or None
        return {**names, self.key_variable: key, KEY_VARIABLE: key}

    @contextmanager
    def opened(self) -> Iterator[dict[str, str]]:
        """Start the fake of the scenario, if there is one, and yield the notebook's parameters.

        Raises:
            FakeError: The fake does not start.
        """
        if self.scenario is None:
            ours = {"BASE_URL": self.url, "MODEL": self.model}
            yield {name: value for name, value in ours.items() if value is not None}
            return
        with Fake(self.scenario, **self.options) as fake:  # type: ignore[arg-type]
            yield {"BASE_URL": fake.base_url, "MODEL": fake.model}


@dataclass(frozen=True)
class Kernel:
    """The kernel that runs a notebook.

    Attributes:
        name: A name that Jupyter knows.
        versions: What the kernel's environment has, by package, and of `python`.
        variables: Environment variables to add.
    """

    name: str
    versions: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)


class Place(Protocol):
    """An environment to run notebooks in."""

    def kernel(self) -> Kernel:
        """Return its kernel; make the environment if need be.

        Raises:
            LabError: The environment cannot be made on this machine.
        """
        ...


class Here:
    """The environment of this process."""

    def kernel(self) -> Kernel:
        return Kernel("python3", versions_here())


@dataclass(frozen=True)
class Task:
    """A notebook to run.

    Attributes:
        session: Names the session that the task belongs to; a session is stopped as a whole.
        row: The row to fill in.
        notebook: The notebook's text.
        server: The server that the notebook calls.
        place: The environment that it runs in.
        cell_limit: Seconds that one of its cells may take.
        notebook_limit: Seconds that the whole notebook may take; None: no limit.
        retries: How often a notebook that did not pass is run again.
        folder: The folder that the notebook works in; None: one of its own, which is removed.
    """

    session: str
    row: Row
    notebook: str
    server: Server
    place: Place
    cell_limit: float
    notebook_limit: float | None = None
    retries: int = 0
    folder: Path | None = None


@dataclass(frozen=True)
class CellResult:
    """What came back for a task.

    Attributes:
        row: The row, filled in.
        notebook: The executed notebook's text; empty if the run did not get that far.
        evidence: The text of the notebook's file of evidence; empty if there is none.
        interrupted: Whether Ctrl-C stopped the notebook.
    """

    row: Row
    notebook: str = ""
    evidence: str = ""
    interrupted: bool = False


def one_at_a_time(jobs: int) -> str:
    """Say that a running server gets one notebook at a time, and why not several."""
    return (
        f"one notebook at a time and not {jobs}, since its metrics would show the requests of the "
        "others, and its timings would suffer from them"
    )


@cache
def versions_here() -> dict[str, str]:
    """Return the versions of this environment's packages by name, and that of `python`."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for entry in distributions():  # in the order of sys.path, so the first of a name is imported
        found.setdefault(canonical(entry.name), entry.version)
    return found


def canonical(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
