"""The registry of frameworks: `registry.yaml`, read and checked."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from stream_lab.frameworks.judge import Mark

PLAYERS = Path(str(files("stream_lab.frameworks") / "players"))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scenario(_Strict):
    """A behaviour of the server or the consumer.

    Attributes:
        title: the heading of its column.
        plays: the behaviour in the server's own words.
        means: what happens, in a sentence.
    """

    title: str
    plays: str
    means: str


class Known(_Strict):
    """A cell that does not hold with the library, for a reason that is understood.

    Attributes:
        mark: how it ends today. Another end is a change, and is reported.
        reason: why, in a sentence.
    """

    mark: Mark
    reason: str


class Setting(_Strict):
    """One way to bound a call of a framework.

    Attributes:
        title: the code that a user writes.
        kind: "natural": its usual time-out; "own": a total deadline of its own; "library".
        leaves_open: for a total deadline of its own, what it leaves open.
        variables: environment variables of the player.
        timeout: the deadline in seconds, where the setting cannot have the usual one.
        known: the cells that do not hold, by scenario.
    """

    title: str
    kind: Literal["natural", "own", "library"]
    leaves_open: str = ""
    variables: dict[str, str] = Field(default_factory=dict)
    timeout: float | None = None
    known: dict[str, Known] = Field(default_factory=dict)


class Framework(_Strict):
    """A framework, and how it is played.

    Attributes:
        title: its name in the report.
        language: of its player.
        packages: what is installed for it.
        player: the program in `players/`.
        server: which server it talks to: "fake" or "babbler".
        settings: the ways to bound a call, by the name that the player knows.
        without: scenarios that make no sense for it, each with the reason.
        side_by_side: whether its cells may share a process.
        unplayable: why it is not played; empty: it is played.
    """

    title: str
    language: Literal["python", "node"] = "python"
    packages: tuple[str, ...] = Field(min_length=1)
    player: str
    server: Literal["fake", "babbler"] = "fake"
    settings: dict[str, Setting]
    without: dict[str, str] = Field(default_factory=dict)
    side_by_side: bool = True
    unplayable: str = ""


class Registry(_Strict):
    """All scenarios and frameworks, in the order of the report."""

    scenarios: dict[str, Scenario]
    frameworks: dict[str, Framework]


@cache
def registry() -> Registry:
    """Return the registry.

    Raises:
        pydantic.ValidationError: an entry has a field that does not exist, or lacks one.
    """
    text = (files("stream_lab.frameworks") / "registry.yaml").read_text(encoding="utf-8")
    return Registry.model_validate(yaml.safe_load(text))
