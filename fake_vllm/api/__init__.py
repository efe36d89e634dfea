"""The OpenAI face of the fake: what a request means, and what is said to it. Pure and synchronous: no sockets, no clock to wait for."""

from fake_vllm.api.chat import chat
from fake_vllm.api.completions import completion
from fake_vllm.api.job import Asked, Job
from fake_vllm.api.models import models
from fake_vllm.api.refused import Refused, bad, error
from fake_vllm.api.responses import response, unknown_response
from fake_vllm.api.rules import Rules
from fake_vllm.api.tokenize import detokenize, tokenize
from fake_vllm.api.wire import DONE, VERSION, dumps, events, hex16

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
    "events",
    "hex16",
    "models",
    "response",
    "tokenize",
    "unknown_response",
]
