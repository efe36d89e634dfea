"""Turn an error of the model's server, or a passed deadline, into an HTTP response."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus

import openai

from stream_deadline._errors import AnswerCutShort, StreamDeadlineExceeded

# Characters of the model server's message that are quoted; it may contain a whole prompt.
_LONGEST_QUOTE: Final = 300
# RFC 9110, 10.2.3: seconds, or a date. Anything else is not passed on.
_RETRY_AFTER = re.compile(
    r"[0-9]{1,9}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
# Headers of a request whose values are secrets, by their names.
_SECRET = re.compile("auth|cookie|key|passw|secret|token", re.IGNORECASE)
# Characters of the shortest value that is looked for; a placeholder such as "none" is a word.
_SHORTEST_SECRET: Final = 8


@dataclass(frozen=True)
class ErrorResponse:
    """A response in place of the answer that failed.

    Attributes:
        status: the HTTP status.
        kind: a word for programs, the body's `error.type`.
        text: a sentence for people, the body's `error.message`.
        cause: a detail for the log only; None: there is none.
        retry_after: the header of that name, as the model's server sent it; None: it sent none that
            is valid.
    """

    status: int
    kind: str
    text: str
    cause: str | None = None
    retry_after: str | None = None


def error_response_for(error: BaseException) -> ErrorResponse | None:
    """Return the response for an error, also for one inside an exception group.

    The status of the model's server concerns this server only. A client learns what it can act on:
    its own request was bad, or it should come again later. A message of the model's server is not
    passed on, and not logged, if it is about keys or repeats a secret of the request's headers.

    Returns:
        None if the error is neither a passed deadline nor one of the model's server.
    """
    responses = [made for each in _leaves(error) if (made := _of(each)) is not None]
    timeouts = (response for response in responses if response.status == 504)
    return next(timeouts, responses[0] if responses else None)


def _of(error: BaseException) -> ErrorResponse | None:
    if isinstance(error, StreamDeadlineExceeded):
        return ErrorResponse(504, "deadline_exceeded", str(error))
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    cause = f"{type(error).__name__}: {_quoted(error)}"
    if isinstance(error, AnswerCutShort):
        return ErrorResponse(
            502,
            "model_failed",
            "The model's answer ended without a finish reason, so it is not whole.",
            cause,
        )
    if isinstance(error, openai.APITimeoutError):
        return ErrorResponse(
            504, "model_timeout", "The model's server did not answer in time.", cause
        )
    if isinstance(error, openai.APIConnectionError):
        return ErrorResponse(
            502, "model_unreachable", "The model's server cannot be reached, or hung up.", cause
        )
    if isinstance(error, openai.APIError) or _is_transport(error):
        return ErrorResponse(502, "model_failed", "The model's server broke its answer off.", cause)
    return None


def _of_status(error: openai.APIStatusError) -> ErrorResponse:
    status, said = error.status_code, _quoted(error)
    cause = f"the model's server answered {status}: {said}"
    if status in (401, 403):
        text = "The model's server does not accept the key that this server has for it."
        return ErrorResponse(502, "model_refused", text, f"the model's server answered {status}")
    if status == 404:
        return ErrorResponse(
            502,
            "model_not_found",
            "The model's server does not have the model that this server asks for.",
            cause,
        )
    if status in (400, 413, 422):
        return ErrorResponse(
            status, "bad_request", f"The model's server refused the request: {said}", cause
        )
    if status in (429, 503):
        text = "The model's server is busy; try again later."
        return ErrorResponse(
            503, "model_busy", text, cause, _retry_after(error.response.headers.get("retry-after"))
        )
    return ErrorResponse(
        502, "model_failed", f"The model's server failed with status {status}.", cause
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _is_transport(error: BaseException) -> bool:
    """Return whether it is the error of httpx or httpx2 for a broken connection.

    The SDK does not wrap it in the middle of a stream.
    """
    return any(
        base.__name__ == "TransportError" and base.__module__.startswith("httpx")
        for base in type(error).__mro__
    )


def _retry_after(said: Any) -> str | None:
    return said if isinstance(said, str) and _RETRY_AFTER.fullmatch(said) else None


def _quoted(error: BaseException) -> str:
    body: Any = getattr(error, "body", None)
    said = str((body.get("message") if isinstance(body, dict) else None) or error)
    if any(secret in said for secret in _secrets(error)):
        return "(its message repeats a secret of the request, so it is not shown)"
    return one_line(said, _LONGEST_QUOTE)


def _secrets(error: BaseException) -> Iterator[str]:
    """Yield the secrets in the request's headers, in the usual spellings."""
    try:
        headers: Any = error.request.headers  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # httpx's own errors need not have a request
        return
    for name, value in headers.items():
        if not _SECRET.search(name):
            continue
        scheme, _, rest = value.partition(" ")
        parts = [value, rest]
        parts += (part.partition("=")[2].strip('"') for part in value.split("; "))
        if scheme.lower() == "basic":
            pair = _decoded(rest)
            parts += [pair, pair.partition(":")[2]]
        for part in parts:
            if len(part) >= _SHORTEST_SECRET:
                encoded = base64.b64encode(part.encode()).decode().rstrip("=")
                yield from (part, quote(part, safe=""), quote_plus(part), quote(part), encoded)
                yield json.dumps(part)[1:-1]


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def one_line(text: object, most: int) -> str:
    """Return foreign text for a log or a response, on one line.

    Characters that cannot be printed become escapes. Those are not only line ends, of which Unicode
    has several: a terminal obeys ESC, and a mark for writing from right to left reverses the rest
    of a line.

    Args:
        text: any object; its `str` is taken.
        most: characters, at most.
    """
    words = " ".join(str(text)[: 4 * most].split())
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in words
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"
