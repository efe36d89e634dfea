"""Recipes for servers of other projects: what to install, and what to start."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Environment:
    """A Python environment, kept in the cache.

    Attributes:
        name: the name of its folder.
        packages: the packages for pip, pinned, so that a table names what it measured.
        unwanted: packages that are installed with them, and removed again.
        disk: bytes on disk, with room for the installation.
        minutes: how long the installation takes, in words.
        variables: environment variables for the installation.
    """

    name: str
    packages: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    disk: float = 1e9
    minutes: str = "a minute or two"
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """The place where a recipe runs.

    Attributes:
        folder: the folder for its models and logs.
        python: the environment's interpreter.
        port: the port to listen on.
    """

    folder: Path
    python: Path
    port: int


@dataclass(frozen=True)
class Recipe:
    """A recipe for a server.

    Attributes:
        name: the server's name.
        environment: the environment to install.
        command: returns the command that starts it on 127.0.0.1.
        model: the name of the model that it serves; {folder} stands for the place's folder, here
            and in the variables.
        prepare: returns the commands to run before the first start, by the file that each makes.
        ready: the path that answers 200 once the server is ready.
        variables: its environment variables.
        memory: bytes of memory that it needs.
        starts_within: seconds that a start may take. A server that still works then has as long
            again, at most five times.
        extra_body: further fields of a request for an endless answer.
        usually: how long a start takes, in words.
    """

    name: str
    environment: Environment
    command: Callable[[Place], list[str]]
    model: str
    prepare: Callable[[Place], dict[Path, list[str]]] = lambda place: {}
    ready: str = "/health"
    variables: dict[str, str] = field(default_factory=dict)
    memory: float = 1e9
    starts_within: float = 300.0
    extra_body: dict[str, Any] = field(default_factory=dict)
    usually: str = "a few seconds"
