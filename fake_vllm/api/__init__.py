"""What a request means, and how its answer is written, without sockets or clocks.

For each endpoint, `X_request` has the body and its checks, `X` accepts or refuses it, and
`X_writer` writes the answer. `model` decides what a healthy answer says.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fake_vllm.api.accepted_request import AcceptedRequest
from fake_vllm.api.chat import chat
from fake_vllm.api.models import models
from fake_vllm.api.refused import Refused, bad, error
from fake_vllm.api.server_rules import Rules
from fake_vllm.api.stream_writer import quoted
from fake_vllm.api.wire import DONE, dumps, error_event, events, hex16
from fake_vllm.api.writer import ResponseWriter

if TYPE_CHECKING:
    from fake_vllm.api.anthropic import count_tokens, message
    from fake_vllm.api.batches import batch
    from fake_vllm.api.completions import completion
    from fake_vllm.api.invocations import invocation
    from fake_vllm.api.responses import response, unknown_response
    from fake_vllm.api.tokenizing import detokenize, tokenize

# Loaded on first use: most servers only ever chat, and should start fast.
_LATER = {
    "message": "anthropic",
    "batch": "batches",
    "invocation": "invocations",
    "count_tokens": "anthropic",
    "completion": "completions",
    "response": "responses",
    "unknown_response": "responses",
    "tokenize": "tokenizing",
    "detokenize": "tokenizing",
}

__all__ = [
    "DONE",
    "AcceptedRequest",
    "Refused",
    "ResponseWriter",
    "Rules",
    "bad",
    "batch",
    "chat",
    "completion",
    "count_tokens",
    "detokenize",
    "dumps",
    "error",
    "error_event",
    "events",
    "hex16",
    "invocation",
    "message",
    "models",
    "quoted",
    "response",
    "tokenize",
    "unknown_response",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value
