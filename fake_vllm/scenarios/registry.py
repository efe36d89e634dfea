"""The table of all scenarios: a new fault is one file of its own and one line here."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from fake_vllm.scenarios.base import Scenario

# In the order in which `fake-vllm scenarios` lists them. Each class is in the file of its scenario's name, which is
# loaded when the scenario is first used: a server starts sooner without the others.
CLASSES: Final[Mapping[str, str]] = {
    "finite": "Finite",
    "endless": "Endless",
    "abort": "Abort",
    "buffer": "Buffer",
    "burst": "Burst",
    "close": "Close",
    "crlf": "Crlf",
    "duplicate": "Duplicate",
    "echo": "EchoPrompt",
    "empty_deltas": "EmptyDeltas",
    "ends_early": "EndsEarly",
    "error_event": "ErrorEvent",
    "half_event": "HalfEvent",
    "keep_alive": "KeepAlive",
    "linger": "Linger",
    "malformed": "Malformed",
    "never_read": "NeverRead",
    "no_done": "NoDone",
    "no_first_token": "NoFirstToken",
    "no_headers": "NoHeaders",
    "out_of_order": "OutOfOrder",
    "pace": "SetPace",
    "refuse": "Refuse",
    "repeat": "Repeat",
    "replay": "Replay",
    "reset": "Reset",
    "split": "Split",
    "stall": "Stall",
    "think": "Think",
    "time_limit": "TimeLimit",
    "trickle": "Trickle",
    "trickle_headers": "TrickleHeaders",
    "wrong_ids": "WrongIds",
    "wrong_length": "WrongLength",
    "wrong_model": "WrongModel",
}


def load(name: str) -> type[Scenario]:
    """Return the class of a scenario in the table.

    Raises:
        KeyError: There is no scenario of that name.
    """
    scenario: type[Scenario] = getattr(import_module(f"fake_vllm.scenarios.{name}"), CLASSES[name])
    return scenario


def catalogue() -> dict[str, str]:
    """Return each scenario's name and the first line of its docstring."""
    return {name: (load(name).__doc__ or "").splitlines()[0] for name in CLASSES}
