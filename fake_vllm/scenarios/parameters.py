"""The parameters of scenarios as data: type, default, unit and description, for programs."""

from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from fake_vllm.scenarios.base import Scenario
from fake_vllm.scenarios.registry import CLASSES, load, summary

Described = tuple[str | None, str]
"""The unit of a parameter (None: it has none), and what it means."""

USUAL: Final[dict[str, Described]] = {
    "after": ("tokens", "Tokens that are sent before the fault."),
    "done": (None, "Whether a stream has its [DONE]."),
    "message": (None, "Text of the error; without it, that of a vLLM whose engine died."),
    "every": ("seconds", "Time between two packets or events."),
    "bytes": ("bytes", "Size of a piece."),
    "status": (None, "Status code of the answer."),
}
"""Parameters that mean the same in most scenarios."""

OWN: Final[dict[str, dict[str, Described]]] = {
    "bandwidth": {"bytes": ("bytes per second", "The most that is sent in a second.")},
    "big_event": {
        "bytes": ("bytes", "Length of the event."),
        "part": (None, "What makes it long: an unknown field, or white space."),
    },
    "buffer": {"bytes": ("bytes", "Size of the buffer.")},
    "burst": {"tokens": ("events", "Events that are sent as one packet.")},
    "ends_early": {"finish": (None, "Finish reason that a stream has all the same.")},
    "engine_death": {"exit": (None, "Whether the process ends, as a vLLM does.")},
    "finite": {"tokens": ("tokens", "Tokens before the end token; null: 40, or all of --text.")},
    "gateway": {
        "product": (None, "The gateway whose page is sent."),
        "after": ("seconds", "Time between the request and the page."),
    },
    "gzip": {
        "flush": (None, "Whether each event can be read at once, or bytes are held back."),
        "level": (None, "Level of the compression."),
    },
    "load": {
        "gap": ("milliseconds", "Added to each gap for each other running sequence."),
        "first_token": ("milliseconds", "Added to the time to the first token in the same way."),
    },
    "pace": {
        "headers": ("milliseconds", "Timing of the headers; null: the server's."),
        "first_token": ("milliseconds", "Timing of the first token; null: the server's."),
        "gap": ("milliseconds", "Timing between two tokens; null: the server's."),
    },
    "rate_limit": {
        "requests": ("requests", "Requests that a key may send in the period; 0: any number."),
        "tokens": ("tokens", "Tokens of prompts and of max_tokens in the period; 0: any number."),
        "per": ("seconds", "The period."),
        "burst": ("requests", "Requests that may come at once; 0: as many as in the period."),
    },
    "refuse": {
        "retry_after": ("seconds", "Value of the header Retry-After; null: it is not sent."),
        "times": ("requests", "Requests that are refused; 0: all."),
        "key": (None, "Makes two texts differ, whose requests are then counted apart."),
    },
    "repeat": {"phrase": (None, "Words that are repeated.")},
    "replay": {
        "file": (None, "File with a recording."),
        "speed": (None, "Factor of the speed."),
    },
    "slow_close": {"seconds": ("seconds", "Time between the last byte and the FIN.")},
    "split": {"at": (None, "Places where packets are split.")},
    "sse_noise": {
        "bom": (None, "Whether the stream begins with a byte order mark."),
        "comments": (None, "Whether comments stand between the lines."),
        "fields": (None, "Whether there are unknown fields."),
        "ids": (None, "Whether each event has an id."),
        "retry": ("milliseconds", "Value of the field retry; 0: it is not sent."),
        "tight": (None, "Whether the space after the colon is left out."),
        "lines": (None, "Whether JSON is spread over two data lines."),
    },
    "stale": {"how": (None, "Whether the connection ends with RST or FIN.")},
    "think": {
        "tokens": ("tokens", "Tokens that are reasoning."),
        "field": (None, "Field that has the reasoning."),
    },
    "time_limit": {"seconds": ("seconds", "Time between the request and the end.")},
    "upload": {
        "how": (None, "What happens while the body comes."),
        "status": (None, "Status code of an early answer."),
        "after": ("bytes", "Bytes of the body that are read before the fault."),
        "rate": ("bytes per second", "Speed of a slow reader."),
    },
    "wrong_length": {"by": ("bytes", "Difference between the declared length and the real one.")},
    "wrong_model": {"model": (None, "Name of the other model.")},
}

TRIGGERS: Final[tuple[tuple[str, str, str | None, str], ...]] = (
    ("attempts", "range", None, "Attempts with the same text to which it applies, as 1 or 2-4."),
    ("requests", "range", None, "Requests to the server to which it applies, as 3 or 100-."),
    ("chance", "number", "1.0", "Probability that it applies, from 0 to 1."),
)
"""Parameters of all scenarios: name, type, default and description."""

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "path"}


def described() -> list[dict[str, Any]]:
    """Return all scenarios, each with its name, summary and parameters."""
    return [
        {
            "name": name,
            "summary": summary(name),
            "before_upstream": not load(name).needs_model,
            "parameters": _parameters(name, load(name)),
        }
        for name in CLASSES
    ]


def description(scenario: str, parameter: str) -> Described:
    """Return the unit and the meaning of a parameter.

    Raises:
        KeyError: it is not described.
    """
    own = OWN.get(scenario, {})
    return own[parameter] if parameter in own else USUAL[parameter]


def _parameters(name: str, scenario: type[Scenario]) -> list[dict[str, Any]]:
    listed = []
    own = scenario.__pydantic_fields__  # type: ignore[attr-defined]
    for field in fields(scenario):  # type: ignore[arg-type]
        info = own[field.name]
        unit, text = description(name, field.name)
        listed.append(
            {
                "name": field.name,
                **_type(info.annotation),
                "required": info.is_required(),
                "default": None if info.is_required() else info.default,
                "unit": unit,
                "description": text,
            }
        )
    for key, kind, default, text in TRIGGERS:
        if key not in own:
            value = None if default is None else float(default)
            listed.append(
                {
                    "name": key,
                    "type": kind,
                    "required": False,
                    "default": value,
                    "unit": None,
                    "description": text,
                }
            )
    return listed


def _type(annotation: Any) -> dict[str, Any]:
    """Return the type of a parameter, with its choices if it has some."""
    if get_origin(annotation) is Literal:
        return {"type": "choice", "choices": list(get_args(annotation))}
    members = [member for member in get_args(annotation) if member is not NoneType]
    return {"type": _TYPES[members[0] if members else annotation]}
