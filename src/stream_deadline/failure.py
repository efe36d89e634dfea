"""What a caller is told when the work that was done for it has failed: by its deadline, or because of the model's server."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import openai

from stream_deadline.errors import AnswerCutShort, StreamDeadlineExceeded

_LONGEST_QUOTE: Final = 300  # characters of what the model's server said; it may quote a whole prompt
# RFC 9110, 10.2.3: seconds, or a date. What is anything else is not passed on.
_RETRY_AFTER = re.compile(r"[0-9]{1,9}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")


@dataclass(frozen=True)
class Failure:
    """An answer in place of the one that failed.

    Attributes:
        status: of HTTP.
        kind: a word for programs, the body's `error.type`.
        text: a sentence for people, the body's `error.message`.
        cause: what only the log is told; None: there is no more to tell.
        retry_after: the header of that name, as the model's server gave it; None: it gave none that can be understood.
    """

    status: int
    kind: str
    text: str
    cause: str | None = None
    retry_after: str | None = None


def failure_of(error: BaseException) -> Failure | None:
    """What to tell of this error, also out of the groups that task groups make; None: it is neither of the two.

    A status of the model's server is an affair between it and this one. A caller is told what it can do something about: its own
    request was bad, or it should come again later. What the model's server says of keys is not passed on, since it may quote them.
    """
    found = [failure for each in _leaves(error) if (failure := _of(each)) is not None]
    return next((failure for failure in found if failure.status == 504), found[0] if found else None)


def _of(error: BaseException) -> Failure | None:
    if isinstance(error, StreamDeadlineExceeded):
        return Failure(504, "deadline_exceeded", str(error))
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    cause = f"{type(error).__name__}: {_quoted(error)}"
    if isinstance(error, AnswerCutShort):
        return Failure(502, "model_failed", "The model's answer ended without a finish reason, so it is not whole.", cause)
    if isinstance(error, openai.APITimeoutError):
        return Failure(504, "model_timeout", "The model's server did not answer in time.", cause)
    if isinstance(error, openai.APIConnectionError):
        return Failure(502, "model_unreachable", "The model's server cannot be reached, or hung up.", cause)
    if isinstance(error, openai.APIError) or _is_transport(error):
        return Failure(502, "model_failed", "The model's server broke its answer off.", cause)
    return None


def _of_status(error: openai.APIStatusError) -> Failure:
    status, said = error.status_code, _quoted(error)
    cause = f"the model's server answered {status}: {said}"
    if status in (401, 403):
        text = "The model's server does not accept the key that this server has for it."
        return Failure(502, "model_refused", text, f"the model's server answered {status}")
    if status == 404:
        return Failure(502, "model_not_found", "The model's server does not have the model that this server asks for.", cause)
    if status in (400, 413, 422):
        return Failure(status, "bad_request", f"The model's server refused the request: {said}", cause)
    if status in (429, 503):
        text = "The model's server is busy; try again later."
        return Failure(503, "model_busy", text, cause, _retry_after(error.response.headers.get("retry-after")))
    return Failure(502, "model_failed", f"The model's server failed with status {status}.", cause)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _is_transport(error: BaseException) -> bool:
    """Whether it is what httpx or httpx2 says of a broken connection; the SDK lets it pass in the middle of a stream."""
    return any(
        base.__name__ == "TransportError" and base.__module__.split(".")[0].startswith("httpx") for base in type(error).__mro__
    )


def _retry_after(said: Any) -> str | None:
    return said if isinstance(said, str) and _RETRY_AFTER.fullmatch(said) else None


def _quoted(error: BaseException) -> str:
    body: Any = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    return one_line(said or error, _LONGEST_QUOTE)


def one_line(said: object, most: int) -> str:
    """What somebody else said, for a log or an answer: on one line, of at most `most` characters.

    A character that cannot be printed is shown as its escape. That is not only a line's end, of which Unicode knows several: a
    terminal obeys ESC, and a mark for writing from right to left turns the rest of a line round.
    """
    words = " ".join(str(said)[: 4 * most].split())
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in words)
    return shown if len(shown) <= most else shown[: most - 1] + "…"
