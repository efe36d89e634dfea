"""The clients, the ways to call them, and what each way plays."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KINDS = (
    "whole",
    "stream",
    "tools",
    "structured",
    "abort",
    "reasoning",
    "retry",
    "cut",
    "timeout",
    "silence",
)


@dataclass(frozen=True)
class Way:
    """One way to call a client.

    Attributes:
        plays: the kinds of case that it plays.
        without: why it does not play the others, by kind.
        field: the name under which it reads reasoning.
        constraints: whether it sends the patterns and the bounds of a schema.
        note: what a reader should know about it.
    """

    plays: tuple[str, ...]
    without: dict[str, str] = field(default_factory=dict)
    field: str = "reasoning"
    constraints: bool = True
    note: str = ""


@dataclass(frozen=True)
class Client:
    """A client.

    Attributes:
        name: its name among the clients.
        title: its name for readers.
        environment: the folder of the checkout that has its packages.
        program: the program in `programs/` that calls it.
        ways: its ways, by name.
    """

    name: str
    title: str
    environment: str
    program: str
    ways: dict[str, Way]


@dataclass(frozen=True)
class Case:
    """One kind of case, played by one way to call a client."""

    client: Client
    way: str
    kind: str

    @property
    def settings(self) -> Way:
        return self.client.ways[self.way]


def read(file: Path = HERE / "clients.yaml") -> dict[str, Client]:
    """Return the clients, by name.

    Raises:
        ValueError: a way neither plays a kind nor says why.
    """
    clients = {}
    for name, given in yaml.safe_load(file.read_text(encoding="utf-8")).items():
        ways = {way: _way(f"{name}, {way}", **said) for way, said in given.pop("ways").items()}
        clients[name] = Client(name=name, ways=ways, **given)
    return clients


def _way(name: str, plays: str, **given: object) -> Way:
    way = Way(tuple(plays.split()), **given)  # type: ignore[arg-type]
    if sorted((*way.plays, *way.without)) != sorted(KINDS):
        raise ValueError(f"{name}: each of {', '.join(KINDS)} needs a place in plays or without.")
    return way


def cases(kind: str) -> Iterator[Case]:
    for client in read().values():
        for way, said in client.ways.items():
            if kind in said.plays:
                yield Case(client, way, kind)


def each_way(kind: str) -> pytest.MarkDecorator:
    """Run a test for every way that plays a kind of case."""
    played = [
        pytest.param(case, id=f"{case.client.name}: {case.way}".replace("…", "*"))
        for case in cases(kind)
    ]
    return pytest.mark.parametrize("case", played)
