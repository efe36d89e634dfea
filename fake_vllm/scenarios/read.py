"""Scenarios as people write them: `stall:after=3`, or several as `endless+stall:after=3,attempts=1`."""

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from pydantic import ValidationError

import fake_vllm.scenarios
from fake_vllm.scenarios import trigger
from fake_vllm.scenarios.base import Scenario, ScenarioError, Together
from fake_vllm.scenarios.finite import Finite
from fake_vllm.scenarios.trigger import Trigger

FIRST = ("finite", "endless")
NO_SCENARIOS = ("base", "read", "trigger")


class Part(NamedTuple):
    trigger: Trigger
    scenario: Scenario


@dataclass(frozen=True)
class Lineup:
    """What a text of scenarios says. `text`: as it was written; it is what attempts are counted by."""

    text: str
    parts: Sequence[Part]

    def select(self, attempt: int = 1, number: int = 1, seed: int = 0, usual: "Lineup | None" = None) -> Scenario:
        """What is played for one request. `usual`: what the server plays when only the delivery is named; None: `finite`."""
        parts = [part.scenario for part in self.parts if part.trigger.applies(attempt, number, seed)]
        if all(part.only_delivers for part in parts):
            parts.insert(0, Finite() if usual is None else usual.select(attempt, number, seed))
        return parts[0] if len(parts) == 1 else Together(parts)


def catalogue() -> dict[str, str]:
    """Each scenario's name and what it does, in one line."""
    return {name: (_load(name).__doc__ or "").splitlines()[0] for name in _names()}


def parse(text: str) -> Lineup:
    """Read `name`, `name:parameter=value,parameter=value`, or several of them joined by `+`.

    Besides its own, each takes the parameters of `Trigger`: attempts, requests, chance.

    Raises:
        ScenarioError: a name or a parameter is unknown, or a value does not fit.
    """
    return Lineup(text, [_part(part) for part in text.split("+")])


def _part(text: str) -> Part:
    name, _, rest = text.partition(":")
    name = name.strip()
    if name not in _names():
        raise ScenarioError(f"There is no scenario '{name}'. {_instead(name, _names(), 'There are')}")
    scenario = _load(name)
    pairs = dict(pair.partition("=")[::2] for pair in rest.split(",") if pair)
    try:
        when = Trigger.parse(pairs)
    except ValueError as error:
        raise ScenarioError(f"Scenario '{name}': {error}.") from None
    own = [field.name for field in fields(scenario)]  # type: ignore[arg-type]
    for key in pairs:
        if key not in own:
            known = [*own, *trigger.KEYS]
            raise ScenarioError(f"Scenario '{name}' has no parameter '{key}'. {_instead(key, known, 'It has')}")
    return Part(when, _make(name, scenario, pairs))


def _make(name: str, scenario: type[Scenario], pairs: dict[str, Any]) -> Scenario:
    try:
        return scenario(**pairs)
    except ValidationError as error:
        first = error.errors()[0]
        raise ScenarioError(f"Scenario '{name}': {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None


def _instead(name: str, known: Sequence[str], lead: str) -> str:
    near = get_close_matches(name, known, n=3)
    return f"Did you mean {' or '.join(near)}?" if near else f"{lead}: {', '.join(known)}."


@cache
def _names() -> tuple[str, ...]:
    """One scenario, one file, of the same name: so what nobody plays need not be loaded."""
    files = [module.name for module in pkgutil.iter_modules(fake_vllm.scenarios.__path__)]
    return (*FIRST, *(name for name in files if name not in (*FIRST, *NO_SCENARIOS)))


@cache
def _load(name: str) -> type[Scenario]:
    things = vars(import_module(f"fake_vllm.scenarios.{name}")).values()
    return next(thing for thing in things if isinstance(thing, type) and issubclass(thing, Scenario) and "name" in vars(thing))
