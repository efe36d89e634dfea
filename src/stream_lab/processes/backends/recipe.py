"""How a server that others wrote is set up on this machine: what is installed, what is started, and when it is ready."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Environment:
    """A Python environment of its own, kept in the cache.

    Attributes:
        name: of its folder.
        packages: for pip, pinned, so that a table names what it measured.
        unwanted: packages that come along and are taken out again.
        disk: bytes it takes, with room for the installation.
        minutes: what people are told that the installation takes.
        variables: of the environment, for the installation alone.
    """

    name: str
    packages: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    disk: float = 1e9
    minutes: str = "a minute or two"
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a recipe is carried out. folder: for its models and logs. python: the environment's interpreter. port: to listen on."""

    folder: Path
    python: Path
    port: int


@dataclass(frozen=True)
class Recipe:
    """A server.

    Attributes:
        name: as people write it.
        environment: where it is installed.
        command: what starts it on 127.0.0.1.
        model: the name it serves its model by; {folder} stands for the place's folder, here and in the variables.
        prepare: commands to run before the first start, by the file that each of them makes.
        ready: the path that answers 200 once it serves.
        variables: of its environment.
        memory: bytes it needs.
        starts_within: seconds after which a start counts as failed.
        extra_body: what a request has to say besides, for an answer without an end.
        usually: what people are told that a start takes.
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
