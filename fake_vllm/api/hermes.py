"""Tool calls in a model's text, found as by vLLM's hermes parser, streamed or whole.

The model writes `<tool_call>` {"name": ..., "arguments": ...} `</tool_call>`, with or without text
before it.
"""

import json
import re
from typing import Any, NamedTuple

from fake_vllm.api.wire import hex16

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_WHOLE = re.compile(r"<tool_call>(.*?)</tool_call>|<tool_call>(.*)", re.DOTALL)
_NAME = re.compile(r'"name"\s*:\s*"([^"]+)"')
_ARGUMENTS = re.compile(r'"arguments"\s*:\s*')


class ToolCall(NamedTuple):
    """A whole call, with the arguments as JSON text."""

    name: str
    arguments: str


def call_id() -> str:
    return f"chatcmpl-tool-{hex16()}"


def parse(text: str) -> tuple[str | None, list[ToolCall]]:
    """Return the text and the calls of a whole answer.

    With an incomplete call, all of it is text.
    """
    if _OPEN not in text:
        return text, []
    try:
        bodies = [json.loads(closed or rest) for closed, rest in _WHOLE.findall(text)]
        calls = [
            ToolCall(one["name"], json.dumps(one["arguments"], ensure_ascii=False))
            for one in bodies
        ]
    except (ValueError, LookupError, TypeError):
        return text, []
    before = text[: text.find(_OPEN)]
    return before if before.strip() else None, calls


class Reader:
    """A reader of a stream, which turns pieces of text into deltas.

    Its memory does not grow with the arguments.

    Attributes:
        calls: how many calls have been sent.
    """

    def __init__(self) -> None:
        self._text = ""  # not sent yet: a possible tag, or a call up to its arguments
        self._inside = False
        self._arguments: _Arguments | None = None
        self._named = False
        self.calls = 0

    def delta(self, text: str) -> dict[str, Any] | None:
        """Return the delta for more text. None: there is nothing to send yet."""
        content, calls = self._read(text)
        if calls:
            return {"content": content or None, "tool_calls": calls}
        return {"content": content} if content else None

    def _read(self, text: str) -> tuple[str, list[dict[str, Any]]]:
        self._text += text
        content = ""
        calls: list[dict[str, Any]] = []
        while True:
            if not self._inside:
                at = self._text.find(_OPEN)
                keep = len(self._text) - _overlap(self._text, _OPEN) if at < 0 else at
                # As on vLLM, text between calls is lost.
                content += self._text[:keep] if not self.calls else ""
                self._text = self._text[keep:]
                if at < 0:
                    return content, calls
                self._text, self._inside = self._text[len(_OPEN) :], True
            if self._arguments is None:
                calls += self._head()
            if self._arguments is not None:
                more, self._text = self._arguments.read(self._text)
                if more:
                    calls.append({"index": self.calls - 1, "function": {"arguments": more}})
            at = self._text.find(_CLOSE)
            if at < 0:
                if self._arguments is not None and self._arguments.over:
                    self._text = self._text[-len(_CLOSE) :]
                return content, calls
            self._text, self._inside = self._text[at + len(_CLOSE) :], False
            self._arguments, self._named = None, False

    def _head(self) -> list[dict[str, Any]]:
        name = None if self._named else _NAME.search(self._text)
        started = _ARGUMENTS.search(self._text)
        opened = []
        if name is not None:
            opened.append(
                {
                    "id": call_id(),
                    "type": "function",
                    "index": self.calls,
                    "function": {"name": name[1]},
                }
            )
            self.calls, self._named = self.calls + 1, True
        if started is not None and self._named:
            self._text, self._arguments = self._text[started.end() :], _Arguments()
        return opened


class _Arguments:
    """A scanner that follows one JSON value to its end, whatever comes after it."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = False
        self._begun = False
        self._blank = ""  # white space, sent only when something follows
        self.over = False

    def read(self, text: str) -> tuple[str, str]:
        """Return the part of the text to send now, and the text after the value."""
        if self.over:
            return "", text
        for at, letter in enumerate(text):
            if self._ends(letter):
                self.over = True
                return self._released(text[:at]), text[at:]
        return self._released(text), ""

    def _released(self, text: str) -> str:
        text = self._blank + text if self._begun else text.lstrip()
        solid = text.rstrip()
        self._blank = text[len(solid) :]
        self._begun = self._begun or bool(solid)
        return solid

    def _ends(self, letter: str) -> bool:
        """Take in one more letter; return whether it is after the value."""
        if self._quoted:
            self._quoted = self._escaped or letter != '"'
            self._escaped = not self._escaped and letter == "\\"
            return False
        if letter == "}" and self._depth == 0:
            return True
        if letter == '"':
            self._quoted = True
        self._depth += (letter in "{[") - (letter in "}]")
        return False


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of the text could begin the tag."""
    return next(
        (
            length
            for length in range(min(len(tag) - 1, len(text)), 0, -1)
            if text.endswith(tag[:length])
        ),
        0,
    )
