"""The OpenAI face of the fake: what a request means, and what is said to it. Pure and synchronous: no sockets, no clock to wait for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fake_vllm.api.chat import chat
from fake_vllm.api.job import Asked, Job
from fake_vllm.api.models import models
from fake_vllm.api.refused import Refused, bad, error
from fake_vllm.api.rules import Rules
from fake_vllm.api.stream import quoted
from fake_vllm.api.wire import DONE, VERSION, dumps, error_event, events, hex16

if TYPE_CHECKING:
    from fake_vllm.api.completions import completion
    from fake_vllm.api.responses import response, unknown_response
    from fake_vllm.api.tokenizing import detokenize, tokenize

# Loaded when somebody first asks for them: most servers only ever chat, and should be up at once.
_LATER = {
    "completion": "completions",
    "response": "responses",
    "unknown_response": "responses",
    "tokenize": "tokenizing",
    "detokenize": "tokenizing",
}

__all__ = [
    "DONE",
    "VERSION",
    "Asked",
    "Job",
    "Refused",
    "Rules",
    "bad",
    "chat",
    "completion",
    "detokenize",
    "dumps",
    "error",
    "error_event",
    "events",
    "hex16",
    "models",
    "quoted",
    "response",
    "tokenize",
    "unknown_response",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return found
