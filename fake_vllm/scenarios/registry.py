"""The table of all scenarios; a new fault is one file and one line here."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from fake_vllm.scenarios.base import Scenario

# `fake-vllm scenarios` lists them in this order. Each class is in the file with its scenario's
# name, which is loaded on first use, since a server starts faster without the others.
CLASSES: Final[Mapping[str, str]] = {
    "finite": "Finite",
    "endless": "Endless",
    "abort": "Abort",
    "bandwidth": "Bandwidth",
    "big_event": "BigEvent",
    "buffer": "Buffer",
    "burst": "Burst",
    "close": "Close",
    "crlf": "Crlf",
    "duplicate": "Duplicate",
    "echo": "EchoPrompt",
    "empty_deltas": "EmptyDeltas",
    "ends_early": "EndsEarly",
    "engine_death": "EngineDeath",
    "error_event": "ErrorEvent",
    "gateway": "Gateway",
    "gzip": "Gzip",
    "half_event": "HalfEvent",
    "keep_alive": "KeepAlive",
    "linger": "Linger",
    "load": "Load",
    "malformed": "Malformed",
    "never_read": "NeverRead",
    "no_done": "NoDone",
    "no_first_token": "NoFirstToken",
    "no_headers": "NoHeaders",
    "out_of_order": "OutOfOrder",
    "pace": "SetPace",
    "rate_limit": "RateLimit",
    "refuse": "Refuse",
    "repeat": "Repeat",
    "replay": "Replay",
    "reset": "Reset",
    "slow_close": "SlowClose",
    "split": "Split",
    "sse_noise": "SseNoise",
    "stale": "Stale",
    "stall": "Stall",
    "think": "Think",
    "time_limit": "TimeLimit",
    "trickle": "Trickle",
    "trickle_headers": "TrickleHeaders",
    "upload": "Upload",
    "wrong_ids": "WrongIds",
    "wrong_length": "WrongLength",
    "wrong_model": "WrongModel",
}


def load(name: str) -> type[Scenario]:
    """Return the class of a scenario in the table.

    Raises:
        KeyError: there is no scenario of that name.
    """
    scenario: type[Scenario] = getattr(import_module(f"fake_vllm.scenarios.{name}"), CLASSES[name])
    return scenario


def catalogue() -> dict[str, str]:
    """Return the docstring of each scenario, by name and on one line."""
    return {name: summary(name) for name in CLASSES}


def summary(name: str) -> str:
    """Return the docstring of a scenario on one line."""
    return " ".join((load(name).__doc__ or "").split())
