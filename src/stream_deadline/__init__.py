"""A deadline that holds for LLM streams.

    from stream_deadline import ChatVllm

    model = ChatVllm(model="my-model", base_url="http://gpu:8000/v1", timeout=45)

`ChatVllm` is a chat model whose `timeout` bounds the whole call. `bounded` and `bounded_sync` do
the same for any stream, and `deadline` for everything inside a `with` block. `stream_deadline.asgi`
has the web application's side.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stream_deadline._bounded import BoundedStream, bounded
from stream_deadline._bounded_client import bounded_client, bounded_transport
from stream_deadline._bounded_sync import BoundedIterator, bounded_sync
from stream_deadline._deadline import Deadline, deadline, no_deadline
from stream_deadline._errors import AnswerCutShort, StreamDeadlineExceeded
from stream_deadline._expiry import Expiry, on_expired, prometheus_counter, remove_hook
from stream_deadline._headers import (
    deadline_headers,
    propagate_deadline,
    propagate_deadline_async,
)

if TYPE_CHECKING:
    from stream_deadline._bounded_model import bounded_model
    from stream_deadline._chat_vllm import ChatVllm
    from stream_deadline._deadline_mixin import DeadlineMixin

__version__ = "0.1.0"

__all__ = [
    "AnswerCutShort",
    "BoundedIterator",
    "BoundedStream",
    "ChatVllm",
    "Deadline",
    "DeadlineMixin",
    "Expiry",
    "StreamDeadlineExceeded",
    "bounded",
    "bounded_client",
    "bounded_model",
    "bounded_sync",
    "bounded_transport",
    "deadline",
    "deadline_headers",
    "no_deadline",
    "on_expired",
    "prometheus_counter",
    "propagate_deadline",
    "propagate_deadline_async",
    "remove_hook",
]

# Loaded when first used: LangChain takes seconds, and other clients do not need it.
_WITH_LANGCHAIN = {
    "ChatVllm": "_chat_vllm",
    "DeadlineMixin": "_deadline_mixin",
    "bounded_model": "_bounded_model",
}
_RENAMED = {
    "pass_deadline_on": "propagate_deadline",
    "apass_deadline_on": "propagate_deadline_async",
}


def __getattr__(name: str) -> Any:
    """Return a name that needs LangChain, or an old name, for one version."""
    if name in _WITH_LANGCHAIN:
        thing = getattr(import_module(f"stream_deadline.{_WITH_LANGCHAIN[name]}"), name)
        globals()[name] = thing
        return thing
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"stream_deadline.{name} is now {_RENAMED[name]}; the old name is removed in 0.2.0.",
        DeprecationWarning,
        stacklevel=2,
    )
    return globals()[_RENAMED[name]]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
