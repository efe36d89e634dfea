"""What a transport has to know of the SDKs above it: errors, retries, streams."""

import json
import re
import sys
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from stream_deadline._budget import Budget
from stream_deadline._errors import StreamDeadlineExceeded
from stream_deadline._pauses import longest_pause, retry_after

# The errors that these SDKs let through as they are. They turn any other error of a transport into
# a connection error, and send the request again (openai 2.54 and anthropic 2.14).
_LET_THROUGH = (("openai", "OpenAIError"), ("anthropic", "AnthropicError"))
# SDKs that Stainless generates count their attempts in it, from 0.
_ATTEMPT = "x-stainless-retry-count"
# Its user agent names the SDK: `AsyncOpenAI/Python 3.52.0`.
_SDK = re.compile(r"(?:Async)?(?:Azure)?(OpenAI|Anthropic)/Python ")
_STREAMS = re.compile(rb'(?<!\\)"stream"\s*:\s*true')

_first_attempt: "ContextVar[tuple[str, str, Budget] | None]" = ContextVar(
    "stream_deadline_first_attempt", default=None
)


def as_sdk_error(error: StreamDeadlineExceeded) -> StreamDeadlineExceeded:
    """Return the error as one that the loaded SDKs raise unchanged."""
    named = (getattr(sys.modules.get(module), name, None) for module, name in _LET_THROUGH)
    bases = tuple(each for each in named if isinstance(each, type) and issubclass(each, Exception))
    if not bases or isinstance(error, bases):
        return error
    return _error_class(bases)(
        error.bound, error.limit, error.elapsed, error.chunks, error._partial
    )


@lru_cache(maxsize=8)
def _error_class(bases: tuple[type[Exception], ...]) -> type[StreamDeadlineExceeded]:
    def pickled(self: StreamDeadlineExceeded) -> tuple[Any, ...]:
        _, *rest = StreamDeadlineExceeded.__reduce__(self)
        return StreamDeadlineExceeded, *rest  # which SDKs are loaded elsewhere is not known

    names = {"__module__": "stream_deadline", "__reduce__": pickled}
    return type("StreamDeadlineExceeded", (StreamDeadlineExceeded, *bases), names)


def budget_of_first_attempt(request: Any) -> Budget | None:
    """Return the budget that an SDK's retry shares with the attempt before it.

    None: this is a first attempt, or one that cannot be told from a first.
    """
    first = _first_attempt.get()
    if first is None or request.headers.get(_ATTEMPT, "0") == "0":
        return None
    method, url, budget = first
    return budget if (method, url) == (request.method, str(request.url)) else None


def note_first_attempt(request: Any, budget: Budget) -> None:
    """Remember the budget of a request, in case the SDK sends it again."""
    if _ATTEMPT in request.headers:
        _first_attempt.set((request.method, str(request.url), budget))


def forbid_late_retry(request: Any, response: Any, budget: Budget) -> None:
    """Tell the SDK not to wait for a retry that would come after the deadline.

    It sleeps where nothing can wake it. `x-should-retry` is a header that OpenAI's and Anthropic's
    servers send, and their SDKs heed.
    """
    attempt = request.headers.get(_ATTEMPT)
    if attempt is None or response.status_code < 400:
        return
    wait = retry_after(response.headers)
    if wait is None:
        wait = longest_pause(_number(attempt))
    if wait >= budget.total_at - budget.clock():
        response.headers["x-should-retry"] = "false"


def final_error(request: Any, error: Exception, budget: Budget) -> Exception:
    """Return the error to raise for a request that got no response.

    If the SDK's pause before another attempt might end after the deadline, that is an error of the
    SDK's, which it does not answer with another attempt. Else it is the same error.
    """
    attempt = request.headers.get(_ATTEMPT)
    by = _SDK.match(request.headers.get("user-agent", ""))
    module = sys.modules.get(by[1].lower()) if by else None
    if attempt is None or module is None:
        return error
    if longest_pause(_number(attempt)) < budget.total_at - budget.clock():
        return error
    if module.__name__ == "anthropic":  # it sends the request again after its own error
        kind = type(type(error).__name__, (type(error), module.AnthropicError), {})
        mixed: Exception = kind(str(error), request=request)
        return mixed
    name = "APITimeoutError" if "Timeout" in type(error).__name__ else "APIConnectionError"
    final: Exception = getattr(module, name)(request=request)
    return final


def _number(attempt: str) -> int:
    return int(attempt) if attempt.isdecimal() else 0


def model_of(request: Any) -> str | None:
    """Return the model that a request names; None: it names none."""
    try:
        model = json.loads(request.content).get("model")
    except Exception:  # a body that is itself streamed, or no JSON
        model = None
    return model if isinstance(model, str) else None


def asks_for_stream(request: Any) -> bool:
    """Return whether a request is for an answer in parts.

    It says so in its JSON (`"stream": true`), in `Accept`, or in its address (Google's `alt=sse`).
    """
    if "text/event-stream" in request.headers.get("accept", "") or b"alt=sse" in request.url.query:
        return True
    try:
        body: bytes = request.content
    except Exception:  # a body that is itself streamed
        return False
    if _STREAMS.search(body) is None:
        return False
    try:
        return json.loads(body).get("stream") is True
    except (ValueError, AttributeError):
        return False
