"""The items of a response's output, and the events that each sends in a stream."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fake_vllm.api.response_tools import CustomTool, NamespaceTool, Tool
from fake_vllm.api.wire import hex16

Logprobs = list[dict[str, Any]]
OfIds = Callable[[list[int]], Logprobs]
"""Returns the log-probabilities of tokens; none if the request does not want them."""


class Event(NamedTuple):
    """An event of a stream, without its number.

    Attributes:
        kind: the type, without "response.".
        body: the keys before `sequence_number`.
        text: the key `text`, after `sequence_number`. None: there is none.
        tail: the keys after `type`.
    """

    kind: str
    body: dict[str, Any]
    text: str | None = None
    tail: Mapping[str, Any] = {}


class Called(NamedTuple):
    """What the name in a tool call stands for.

    Attributes:
        name: the tool's name.
        namespace: the namespace that it is in. None: it is in none.
        custom: whether it is a custom tool, which takes one text.
    """

    name: str
    namespace: str | None = None
    custom: bool = False


def names_of(tools: list[Tool]) -> Mapping[str, Called]:
    """Return what the names of custom tools and of tools in namespaces stand for."""
    called: dict[str, Called] = {}
    for tool in tools:
        if isinstance(tool, CustomTool):
            called[tool.name] = Called(tool.name, custom=True)
        elif isinstance(tool, NamespaceTool):
            for inner in tool.tools:
                custom = isinstance(inner, CustomTool)
                called[f"{tool.name}__{inner.name}"] = Called(inner.name, tool.name, custom)
    return called


class Item(ABC):
    """An item of the output.

    Attributes:
        id: its id.
        index: its place in the output.
        keeps: whether to keep the text for the end; an endless one is not kept.
    """

    prefix = ""

    def __init__(self, index: int = 0, *, keeps: bool = True) -> None:
        self.id = f"{self.prefix}_{hex16()}"
        self.index, self.keeps = index, keeps
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def add(self, text: str) -> None:
        """Keep more text."""
        if self.keeps:
            self._texts.append(text)

    def begin(self) -> list[Event]:
        """Return the events before the first text."""
        return [Event("output_item.added", self._as_output("in_progress"))]

    @abstractmethod
    def delta(self, text: str, ids: list[int]) -> list[Event]:
        """Return the events for more text, which is kept."""

    def end(self, status: str) -> list[Event]:
        """Return the events after the last text; `status` is that of the item."""
        return [Event("output_item.done", self._as_output(status))]

    @abstractmethod
    def as_json(self, status: str | None) -> dict[str, Any]:
        """Return the item as a part of the output."""

    def _as_output(self, status: str) -> dict[str, Any]:
        return {"item": self.as_json(status), "output_index": self.index}

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index}

    @property
    def _content_place(self) -> dict[str, Any]:
        return {"content_index": 0, **self._place}


class MessageItem(Item):
    """A message to the user."""

    prefix = "msg"

    def __init__(self, logprobs_of: OfIds, index: int = 0, *, keeps: bool = True) -> None:
        super().__init__(index, keeps=keeps)
        self._logprobs_of = logprobs_of
        self.logprobs: Logprobs = []

    def begin(self) -> list[Event]:
        part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
        return [
            *super().begin(),
            Event("content_part.added", {**self._content_place, "part": part}),
        ]

    def delta(self, text: str, ids: list[int]) -> list[Event]:
        logprobs = self._logprobs_of(ids)
        self.add(text)
        if self.keeps:
            self.logprobs += logprobs
        order = ("token", "logprob")
        brief = [
            {
                **{key: one[key] for key in order},
                "top_logprobs": [
                    {key: other[key] for key in order} for other in one["top_logprobs"]
                ],
            }
            for one in logprobs
        ]
        body = {
            "content_index": 0,
            "delta": text,
            "item_id": self.id,
            "logprobs": brief,
            "output_index": self.index,
        }
        return [Event("output_text.delta", body)]

    def end(self, status: str) -> list[Event]:
        place = {
            "content_index": 0,
            "item_id": self.id,
            "logprobs": [],
            "output_index": self.index,
        }
        return [
            Event("output_text.done", place, self.text),
            Event("content_part.done", {**self._content_place, "part": self._part()}),
            *super().end(status),
        ]

    def _part(self) -> dict[str, Any]:
        return {
            "annotations": [],
            "text": self.text,
            "type": "output_text",
            "logprobs": self.logprobs or None,
        }

    def as_json(self, status: str | None) -> dict[str, Any]:
        return {
            "id": self.id,
            "content": [self._part()] if self._texts else [],
            "role": "assistant",
            "status": status,
            "type": "message",
            "phase": None,
        }


class ReasoningItem(Item):
    """What the model thought."""

    prefix = "rs"

    def begin(self) -> list[Event]:
        part = {"text": "", "type": "reasoning_text"}
        return [
            *super().begin(),
            Event("content_part.added", {**self._content_place, "part": part}),
        ]

    def delta(self, text: str, ids: list[int]) -> list[Event]:
        self.add(text)
        body = {"content_index": 0, "delta": text, **self._place}
        return [Event("reasoning_text.delta", body)]

    def end(self, status: str) -> list[Event]:
        return [
            Event("reasoning_text.done", self._content_place, self.text),
            Event("content_part.done", {**self._content_place, "part": self._part()}),
            *super().end(status),
        ]

    def _part(self) -> dict[str, Any]:
        return {"text": self.text, "type": "reasoning_text"}

    def as_json(self, status: str | None) -> dict[str, Any]:
        return {
            "id": self.id,
            "summary": [],
            "type": "reasoning",
            "content": None if status == "in_progress" else [self._part()],
            "encrypted_content": None,
            "status": status,
        }


class CallItem(Item):
    """A call of a function."""

    prefix = "fc"

    def __init__(self, called: Called, call_id: str, index: int = 0, *, keeps: bool = True) -> None:
        super().__init__(index, keeps=keeps)
        self._called, self._call_id = called, call_id

    def delta(self, text: str, ids: list[int]) -> list[Event]:
        self.add(text)
        return [Event("function_call_arguments.delta", {"delta": text, **self._place})]

    def end(self, status: str) -> list[Event]:
        body = {"arguments": self.text, **self._place}
        done = Event("function_call_arguments.done", body, tail={"name": self._called.name})
        return [done, *super().end(status)]

    def as_json(self, status: str | None) -> dict[str, Any]:
        return {
            "arguments": self.text,
            "call_id": self._call_id,
            "name": self._called.name,
            "type": "function_call",
            "id": self.id,
            "async": None,
            "caller": None,
            "namespace": self._called.namespace,
            "status": status,
        }


class CustomCallItem(CallItem):
    """A call of a custom tool, which takes one text: the argument `input`."""

    prefix = "ctc"

    def __init__(self, called: Called, call_id: str, index: int = 0, *, keeps: bool = True) -> None:
        super().__init__(called, call_id, index, keeps=keeps)
        self._input = _Input()

    def delta(self, text: str, ids: list[int]) -> list[Event]:
        if not (shown := self._input.read(text)):
            return []
        self.add(shown)
        return [Event("custom_tool_call_input.delta", {"delta": shown, **self._place})]

    def end(self, status: str) -> list[Event]:
        body = {"input": self.text, **self._place}
        return [Event("custom_tool_call_input.done", body), *Item.end(self, status)]

    def as_json(self, status: str | None) -> dict[str, Any]:
        return {
            "call_id": self._call_id,
            "input": self.text,
            "name": self._called.name,
            "type": "custom_tool_call",
            "id": self.id,
            "async": None,
            "caller": None,
            "namespace": self._called.namespace,
        }


class _Input:
    """A reader of the text in `{"input": "..."}`, which arrives piece by piece."""

    def __init__(self) -> None:
        self._text = ""
        self._state = "before"

    def read(self, text: str) -> str:
        """Return the part of the text that can be shown now."""
        self._text += text
        if self._state == "before" and (begun := re.search(r'"input"\s*:\s*"', self._text)):
            self._text, self._state = self._text[begun.end() :], "inside"
        if self._state != "inside":
            return ""
        # Whole characters and whole escapes; a pair of surrogates stays together.
        whole = re.match(
            r'(?:[^"\\]|\\u[dD][89abAB]..\\u....|\\u(?![dD][89abAB])....|\\[^u])*', self._text
        )
        shown = whole[0] if whole else ""
        self._text = self._text[len(shown) :]
        if self._text.startswith('"'):
            self._state = "after"
        return str(json.loads(f'"{shown}"', strict=False))


def call_item(
    names: Mapping[str, Called], name: str, call_id: str, index: int = 0, *, keeps: bool = True
) -> CallItem:
    """Return the item of a call by its name."""
    called = names.get(name, Called(name))
    kind = CustomCallItem if called.custom else CallItem
    return kind(called, call_id, index, keeps=keeps)
