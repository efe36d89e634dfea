"""The content blocks of a streamed message, made from the deltas of a chat."""

import json
from typing import Any

from fake_vllm.api.anthropic_errors import named
from fake_vllm.api.wire import hex32


class Blocks:
    """The blocks of one message; one is open at a time.

    Attributes:
        called: whether a tool has been called.
    """

    def __init__(self, *, keeps_arguments: bool) -> None:
        """Begin without a block.

        Args:
            keeps_arguments: whether to keep the last call's arguments, for `complete`; endless ones
                would fill the memory.
        """
        self.called = False
        self._kind = ""  # of the open block; empty: none is open
        self._index = 0
        self._signature = ""
        self._call = ""  # the id of the open call
        self._ids: dict[int, str] = {}  # of all calls
        self._keeps, self._arguments = keeps_arguments, [""]
        self._waiting: list[str] = []  # text that came while a call was open

    @property
    def complete(self) -> bool:
        """Tell whether the last call's arguments are whole."""
        try:
            json.loads("".join(self._arguments))
        except ValueError:
            return False
        return self.called

    def events(self, delta: dict[str, Any]) -> bytes:
        """Return the events for a delta with `reasoning`, `content` or `tool_calls`."""
        made = b""
        if thought := delta.get("reasoning"):
            made += self.opened("thinking") + self._delta("thinking_delta", "thinking", thought)
        if text := delta.get("content"):
            if self._kind == "tool_use":
                self._waiting.append(text)
            else:
                made += self.opened("text") + self.text_delta(text)
        for call in delta.get("tool_calls") or ():
            made += self._called(call)
        return made

    def opened(self, kind: str) -> bytes:
        """Return the events that open a block of text or thought, unless it is open."""
        if self._kind == kind:
            return b""
        closed = b"".join(self.closed())
        if kind == "thinking":
            self._signature = hex32()
        return closed + self._start(kind, {"type": kind, kind: ""})

    def text_delta(self, text: str) -> bytes:
        """Return the event of a text in the block that is open."""
        return self._delta("text_delta", "text", text)

    def closed(self) -> list[bytes]:
        """Return the events that close the open block, and of text that waited."""
        events = self._end()
        if self._waiting:
            text, self._waiting = "".join(self._waiting), []
            events += [self._start("text", {"type": "text", "text": ""}), self.text_delta(text)]
            events += self._end()
        return events

    def _called(self, call: dict[str, Any]) -> bytes:
        function, opened = call["function"], b""
        id, name = call.get("id"), function.get("name")
        if id is not None:
            self._ids[call["index"]] = id
            if name is not None and self._call != id:
                opened = b"".join(self.closed())
                block = {"type": "tool_use", "id": id, "name": name, "input": {}}
                opened += self._start("tool_use", block)
                self._call, self._arguments, self.called = id, [], True
        arguments = function.get("arguments")
        if not arguments or self._call != self._ids.get(call["index"]):
            return opened
        if self._keeps:
            self._arguments.append(arguments)
        return opened + self._delta("input_json_delta", "partial_json", arguments)

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        self._kind = kind
        body = {"type": "content_block_start", "content_block": block, "index": self._index}
        return named("content_block_start", body)

    def _delta(self, kind: str, key: str, text: str) -> bytes:
        delta = {"type": kind, key: text}
        body = {"type": "content_block_delta", "delta": delta, "index": self._index}
        return named("content_block_delta", body)

    def _end(self) -> list[bytes]:
        if not self._kind:
            return []
        signed = (
            [self._delta("signature_delta", "signature", self._signature)]
            if self._kind == "thinking"
            else []
        )
        body = {"type": "content_block_stop", "index": self._index}
        self._kind, self._call, self._index = "", "", self._index + 1
        return [*signed, named("content_block_stop", body)]
