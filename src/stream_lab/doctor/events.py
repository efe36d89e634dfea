"""The Server-Sent Events of a body, with their times and meanings.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines end in
LF, CR LF or CR; an empty line ends an event; a line that begins with a colon is a comment; unknown
fields are skipped, and so is a byte order mark at the beginning.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FIELDS = {"data", "event", "id", "retry"}
MARK = b"\xef\xbb\xbf"  # the byte order mark
UNKNOWN = re.compile(r"[A-Za-z][\w.-]*:")
"""A field that readers skip. Text without a colon is more likely half a token with a line break."""
ALONE = re.compile(r"(?!error:|exception:)[a-z][a-z0-9_.-]*:")
"""The same in an event that has nothing else, where it may be a message that forgot its field."""


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
class Event:
    """An event or a comment.

    Attributes:
        at: when its last byte arrived, in seconds since the request.
        says: its meaning.
        text: the text of a token; otherwise a text worth quoting.
        name: the name of the event. Empty: it has none.
        answer: the id of the answer that a chunk belongs to.
        model: the name of the model in a chunk.
    """

    at: float
    says: Says
    text: str = ""
    name: str = ""
    answer: str = ""
    model: str = ""


def events_of(pieces: Iterable[tuple[float, bytes]], *, chat: bool) -> list[Event]:
    """Return the events of a body.

    Args:
        pieces: the pieces of the body, each with its time in seconds.
        chat: whether the protocol is OpenAI's, in which data must be JSON.
    """
    found: list[Event] = []
    lines: list[str] = []
    rest, at, after_cr = b"", 0.0, False
    began = 0.0  # when the current event's first byte arrived
    head: bytes | None = b""  # the first bytes, while they may be a byte order mark; None: decided
    for came, data in pieces:
        at = came
        if head is not None:
            head += data
            if len(head) < len(MARK) and MARK.startswith(head):
                continue
            data, head = head.removeprefix(MARK), None
        if after_cr and data.startswith(b"\n"):
            data = data[1:]
        after_cr = data.endswith(b"\r")
        if not rest and not lines:
            began = at
        rest += data
        *whole, rest = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for raw in whole:
            line = raw.decode(errors="replace")
            if line:
                if line.startswith(":"):
                    found.append(Event(at, Says.COMMENT, line[1:].strip()))
                else:
                    lines.append(line)
            elif lines:
                found.append(_event(at, lines, chat))
                lines, began = [], at
    rest = (head or b"") + rest
    if rest or lines:
        half = lines[-1] if lines else rest.decode(errors="replace")
        found.append(Event(began, Says.HALF, f"the last event never ended: {quote(half)}"))
    return found


def _event(at: float, lines: list[str], chat: bool) -> Event:
    name, data = "", []
    known = any(line.partition(":")[0] in FIELDS for line in lines)
    for line in lines:
        field, _, value = line.partition(":")
        if field not in FIELDS:
            if (UNKNOWN if known else ALONE).match(line):
                continue
            return Event(at, Says.FAULT, f"a line that belongs to no event: {quote(line)}")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
    text = "\n".join(data)
    if text.strip() == "[DONE]" or name == "done":
        return Event(at, Says.DONE, name=name)
    if not data:
        return Event(at, Says.NOTHING, name=name)
    try:
        body = json.loads(text)
    except ValueError:
        if chat or text.lstrip().startswith("{"):
            return Event(at, Says.FAULT, f"an event whose JSON is broken: {quote(text)}", name)
        return Event(
            at, Says.ERROR if name == "error" else Says.TOKEN if text else Says.NOTHING, text, name
        )
    if name == "error" or (isinstance(body, dict) and body.get("error")):
        return Event(at, Says.ERROR, _message(body), name)
    if isinstance(body, dict) and "choices" in body:
        return _chunk(at, body, name)
    if isinstance(body, dict) and not chat:
        return Event(at, Says.TOKEN if any(body.values()) else Says.NOTHING, quote(text), name)
    return Event(at, Says.TOKEN if body not in ("", None) else Says.NOTHING, str(body), name)


def _chunk(at: float, body: dict[str, Any], name: str) -> Event:
    text, reason = "", None
    for choice in body["choices"] or []:
        delta = choice.get("delta") or {}
        reason = choice.get("finish_reason") or reason
        new = [
            delta.get(key)
            for key in (
                "content",
                "reasoning",
                "reasoning_content",
                "refusal",
                "tool_calls",
                "function_call",
            )
        ]
        text += "".join(
            each if isinstance(each, str) else json.dumps(each)
            for each in [*new, choice.get("text")]
            if each
        )
    says = Says.FINISHED if reason else Says.TOKEN if text else Says.NOTHING
    return Event(
        at, says, reason or text, name, str(body.get("id", "")), str(body.get("model", ""))
    )


def _message(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, dict) else body
    return quote(str(error.get("message", error) if isinstance(error, dict) else error))


def quote(text: str, most: int = 120) -> str:
    """Return a text of at most N characters, without those that control a terminal."""
    shown = "".join(each if each.isprintable() else "·" for each in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
