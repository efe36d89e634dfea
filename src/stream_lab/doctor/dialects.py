"""Dialects of streams: what the type of an event means in each.

Sources: the references of OpenAI's Responses and Realtime, Anthropic's Messages, Cohere's Chat v2
and AG-UI. A type that no dialect has is the application's own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Says(StrEnum):
    """The meaning of an event for the answer."""

    TOKEN = "token"  # text, a tool call, reasoning: something new
    NOTHING = "nothing"  # an empty delta, a role, a count of tokens
    FINISHED = "finished"  # the model's finish reason
    DONE = "done"  # the end of the stream: [DONE], or an event of that name
    ERROR = "error"
    COMMENT = "comment"
    FAULT = "fault"  # a violation of the protocol
    HALF = "half"  # an incomplete event; `at` is its beginning


@dataclass(frozen=True)
class Dialect:
    """The types of a dialect's events, as regular expressions for the whole type.

    Attributes:
        name: the dialect, in a sentence.
        all: every type of the dialect that no other has.
        token: types with something new of the answer.
        done: types that end the stream; the first one is that which ends a complete answer.
        error: types that say that the answer failed.
        reason: the path to the model's finish reason. Empty: no event has one.
    """

    name: str
    all: str
    token: str
    done: tuple[str, ...]
    error: str
    reason: tuple[str, ...] = ()


ANTHROPIC = Dialect(
    "Anthropic's Messages",
    r"message_(start|delta|stop)|content_block_(start|delta|stop)",
    r"content_block_delta",
    ("message_stop",),
    r"error",
    ("delta", "stop_reason"),
)
RESPONSES = Dialect(
    "OpenAI's Responses",
    r"response\.(created|in_progress|queued|completed|failed|incomplete|done|cancell?ed"
    r"|(output_\w+|content_part|text|refusal|reasoning\w*|function_call_\w+|mcp_\w+|\w+_call\w*"
    r"|audio\w*)\.\w+(\.\w+)?)",
    r"response\.[a-z_.]+\.delta",
    ("response.completed", "response.incomplete", "response.done"),
    r"response\.(failed|cancell?ed)|error",
)
COHERE = Dialect(
    "Cohere's Chat",
    r"message-(start|end)|(content|tool-call|citation)-(start|delta|end)|tool-plan-delta",
    r"[a-z-]+-delta",
    ("message-end",),
    r"error",
)
AG_UI = Dialect(
    "AG-UI",
    r"RUN_(STARTED|FINISHED|ERROR)|(TEXT_MESSAGE|TOOL_CALL)_(START|CONTENT|ARGS|END|CHUNK|RESULT)",
    r"[A-Z_]+_(CONTENT|ARGS|CHUNK|RESULT)",
    ("RUN_FINISHED",),
    r"RUN_ERROR",
)
OLLAMA = Dialect("Ollama's API", r"", r"", ('"done": true',), r"")
"""Lines of JSON, whose objects have no type."""
DIALECTS = (ANTHROPIC, RESPONSES, COHERE, AG_UI)

LONGEST = 100
"""Characters of a type; a longer one is of no dialect, and the expressions may be slow on it."""
_PING = re.compile(r"(?i)(ping|pong|heart-?_?beat|keep-?_?alive)")
_CUT_BY_LIMIT = ("max_output_tokens", "max_tokens", "content_filter")
"""Reasons for which an answer that a model ends is incomplete, as OpenAI's Responses name them."""


@dataclass(frozen=True)
class Meaning:
    """What an event means.

    Attributes:
        says: its meaning for the answer.
        text: the finish reason, or what an error says. Empty: neither.
        dialect: the dialect that it shows. None: several have such an event.
    """

    says: Says
    text: str = ""
    dialect: Dialect | None = None


def meaning_of(name: str, body: Any) -> Meaning | None:
    """Return what an event means. None: its type is of no dialect.

    Args:
        name: the name of the event. Empty: it has none.
        body: its data, read as JSON; any other data is None.
    """
    kind = body.get("type") if isinstance(body, Mapping) else None
    kind = kind if isinstance(kind, str) and kind else name
    if len(kind) > LONGEST:
        return None
    if _PING.fullmatch(kind):
        return Meaning(Says.NOTHING)
    if kind == "error":
        return Meaning(Says.ERROR)
    if not isinstance(body, Mapping):
        return None
    for dialect in DIALECTS:
        if re.fullmatch(dialect.all, kind):
            return _in(dialect, kind, body)
    return None


def _in(dialect: Dialect, kind: str, body: Mapping[str, Any]) -> Meaning:
    if re.fullmatch(dialect.error, kind):
        said = _at(body, "response", "error", "message") or _at(body, "message")
        return Meaning(Says.ERROR, said or kind, dialect)
    if kind in dialect.done:
        why = _at(body, "response", "incomplete_details", "reason")
        if kind.endswith("incomplete") and why not in _CUT_BY_LIMIT:
            return Meaning(Says.ERROR, f"{kind} {why}".strip(), dialect)
        return Meaning(Says.DONE, dialect=dialect)
    if dialect.reason and (reason := _at(body, *dialect.reason)):
        return Meaning(Says.FINISHED, reason, dialect)
    is_token = re.fullmatch(dialect.token, kind) is not None
    return Meaning(Says.TOKEN if is_token else Says.NOTHING, dialect=dialect)


def _at(body: Any, *path: str) -> str:
    """Return the text at a path of keys. Empty: there is none."""
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body if isinstance(body, str) else ""
