"""The Server-Sent Events of a body, with their times and meanings.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines end in
LF, CR LF or CR; an empty line ends an event; a line that begins with a colon is a comment; unknown
fields are skipped, and so is a byte order mark at the beginning.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from stream_lab.doctor.dialects import OLLAMA, Dialect, Meaning, Says, meaning_of
from stream_lab.untrusted import one_line, read_json

FIELDS = {"data", "event", "id", "retry"}
MARK = b"\xef\xbb\xbf"  # the byte order mark
UNKNOWN = re.compile(r"[A-Za-z][\w.-]*:")
"""A field that readers skip. Text without a colon is more likely half a token with a line break."""
DELTAS = ("content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call")
"""Keys of a chunk's delta that hold something new."""
ALONE = re.compile(r"(?!error:|exception:)[a-z][a-z0-9_.-]*:")
"""The same in an event that has nothing else, where it may be a message that forgot its field."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event or a comment.

    Attributes:
        at: when its last byte arrived, in seconds since the request.
        says: its meaning.
        text: the text of a token; otherwise a text worth quoting.
        name: the name of the event. Empty: it has none.
        answer: the id of the answer that a chunk belongs to.
        model: the name of the model in a chunk.
        dialect: the dialect that the event shows. None: it shows none.
    """

    at: float
    says: Says
    text: str = ""
    name: str = ""
    answer: str = ""
    model: str = ""
    dialect: Dialect | None = None


def events_of(pieces: Iterable[tuple[float, bytes]], *, chat: bool) -> list[Event]:
    """Return the events of a body.

    Args:
        pieces: the pieces of the body, each with its time in seconds.
        chat: whether the protocol is OpenAI's, in which data must be JSON.
    """
    found: list[Event] = []
    lines: list[str] = []
    began = 0.0
    for since, at, raw, is_whole in _lines(pieces):
        line = raw.decode(errors="replace")
        began = began if lines else since
        if not is_whole:
            lines.append(line)
        elif line.startswith(":"):
            found.append(Event(at, Says.COMMENT, line[1:].strip()))
        elif line:
            lines.append(line)
        elif lines:
            found.append(_event(at, lines, chat))
            lines = []
    if lines:
        found.append(Event(began, Says.HALF, f"the last event never ended: {quote(lines[-1])}"))
    return found


def json_lines_of(pieces: Iterable[tuple[float, bytes]]) -> list[Event]:
    """Return the lines of a body of lines of JSON as events.

    Args:
        pieces: the pieces of the body, each with its time in seconds.
    """
    found = []
    for began, at, raw, is_whole in _lines(pieces):
        if not raw.strip():
            continue
        event = _line(at, raw)
        if not is_whole and event.says is Says.FAULT:  # the last line may lack its end
            said = f"the last line never ended: {quote(event.text)}"
            event = Event(began, Says.HALF, said)
        found.append(event)
    return found


def _lines(pieces: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, float, bytes, bool]]:
    """Yield each line with the times of its ends, and whether it is whole."""
    parts: list[bytes] = []  # of the line that has not ended; joined only when it ends
    began, at, after_cr = 0.0, 0.0, False
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
        began = began if parts else at
        if b"\n" not in data and b"\r" not in data:
            parts += [data] if data else []
            continue
        data = b"".join([*parts, data])
        *whole, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield began, at, line, True
            began = at
        parts = [rest] if rest else []
    if rest := (head or b"") + b"".join(parts):
        yield began, at, rest, False


def _line(at: float, raw: bytes) -> Event:
    text = raw.decode(errors="replace").strip()
    event = _event(at, [f"data: {text}"], chat=False)
    if event.says is not Says.TOKEN or not text.startswith("{"):
        return event
    body = read_json(text)
    if isinstance(body.get("done"), bool) and ("response" in body or "message" in body):
        return replace(event, says=Says.DONE if body["done"] else Says.TOKEN, dialect=OLLAMA)
    return event


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
        body = read_json(text)
    except ValueError:
        if meaning_of(name, None) == Meaning(Says.NOTHING):
            return Event(at, Says.NOTHING, text, name)
        if chat or text.lstrip().startswith("{"):
            return Event(at, Says.FAULT, f"an event whose JSON is broken: {quote(text)}", name)
        return Event(
            at, Says.ERROR if name == "error" else Says.TOKEN if text else Says.NOTHING, text, name
        )
    if name == "error" or (isinstance(body, dict) and body.get("error")):
        return Event(at, Says.ERROR, _message(body), name)
    if (meaning := meaning_of(name, body)) is not None:
        said = meaning.text or (_message(body) if meaning.says is Says.ERROR else quote(text))
        return Event(at, meaning.says, said, name, dialect=meaning.dialect)
    if isinstance(body, dict) and "choices" in body:
        return _chunk(at, body, name)
    if isinstance(body, dict) and not chat:
        return Event(at, Says.TOKEN if any(body.values()) else Says.NOTHING, quote(text), name)
    return Event(at, Says.TOKEN if body not in ("", None) else Says.NOTHING, str(body), name)


def _chunk(at: float, body: dict[str, Any], name: str) -> Event:
    choices = body["choices"] or []
    if not isinstance(choices, list) or not all(isinstance(each, dict) for each in choices):
        return Event(at, Says.FAULT, "an event whose choices are no list of objects", name)
    text = reason = ""
    for choice in choices:
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            return Event(at, Says.FAULT, "an event whose delta is no object", name)
        reason = _as_text(choice.get("finish_reason")) or reason
        text += "".join(_as_text(delta.get(key)) for key in DELTAS) + _as_text(choice.get("text"))
    says = Says.FINISHED if reason else Says.TOKEN if text else Says.NOTHING
    answer, model = _as_text(body.get("id")), _as_text(body.get("model"))
    return Event(at, says, one_line(reason) or text, name, answer, model)


def _as_text(value: Any) -> str:
    """Return a text as it is, another value as JSON. Empty: the value is empty."""
    return value if isinstance(value, str) else json.dumps(value) if value else ""


def _message(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, dict) else body
    return quote(str(error.get("message", error) if isinstance(error, dict) else error))


def quote(text: str, most: int = 120) -> str:
    """Return foreign text as a sentence can quote it: one line, N characters."""
    return one_line(text, most)
