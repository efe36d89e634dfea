"""Every way the fake can behave: one scenario, one file."""

from pydantic import ValidationError

from fake_vllm.scenarios.base import Call, Scenario, ScenarioError, Together
from fake_vllm.scenarios.burst import Burst
from fake_vllm.scenarios.empty_deltas import EmptyDeltas
from fake_vllm.scenarios.endless import Endless
from fake_vllm.scenarios.error_event import ErrorEvent
from fake_vllm.scenarios.finite import Finite
from fake_vllm.scenarios.half_event import HalfEvent
from fake_vllm.scenarios.keep_alive import KeepAlive
from fake_vllm.scenarios.linger import Linger
from fake_vllm.scenarios.no_first_token import NoFirstToken
from fake_vllm.scenarios.no_headers import NoHeaders
from fake_vllm.scenarios.refuse import Refuse
from fake_vllm.scenarios.reset import Reset
from fake_vllm.scenarios.stall import Stall
from fake_vllm.scenarios.trickle import Trickle
from fake_vllm.scenarios.trickle_headers import TrickleHeaders

__all__ = ["Call", "Scenario", "ScenarioError", "catalogue", "parse"]

_ALL: dict[str, type[Scenario]] = {
    scenario.name: scenario
    for scenario in (
        *(Finite, Endless),
        *(Stall, KeepAlive, EmptyDeltas, HalfEvent, NoFirstToken, NoHeaders),
        *(Burst, Trickle, TrickleHeaders, Linger),
        *(Refuse, ErrorEvent, Reset),
    )
}


def catalogue() -> dict[str, str]:
    """Each scenario's name and what it does, in one line."""
    return {name: (scenario.__doc__ or "").splitlines()[0] for name, scenario in _ALL.items()}


def parse(text: str) -> Scenario:
    """Read `name`, `name:parameter=value,parameter=value`, or several of them joined by `+`.

    Raises:
        ScenarioError: a name or a parameter is unknown, or a value does not fit.
    """
    parts = [_parse_one(part) for part in text.split("+")]
    if all(part.only_delivers for part in parts):
        parts.insert(0, _parse_one(Finite.name))
    return parts[0] if len(parts) == 1 else Together(parts)


def _parse_one(text: str) -> Scenario:
    name, _, rest = text.strip().partition(":")
    if (scenario := _ALL.get(name)) is None:
        raise ScenarioError(f"There is no scenario '{name}'. There are: {', '.join(_ALL)}.")
    pairs = dict(pair.partition("=")[::2] for pair in rest.split(",") if pair)
    try:
        return scenario(**pairs)
    except ValidationError as error:
        first = error.errors()[0]
        raise ScenarioError(f"Scenario '{name}': {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
