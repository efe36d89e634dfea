"""What has arrived so far, whether an item says anything, and whether the whole has come."""

from typing import Any, ClassVar, Protocol

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import ValidationError

THOUGHTS = "reasoning_content"
"""Where LangChain's packages for models that think put their thoughts: this key of `additional_kwargs`."""


class Collector(Protocol):
    """Sees every item of one stream, in order."""

    whole: bool
    """Whether the stream may end here."""
    of_halves: ClassVar[tuple[type[Exception], ...]]
    """What a source raises that takes a half for a whole."""

    def add(self, item: Any) -> bool:
        """Take an item in; whether it says something, as opposed to filling the silence."""

    def partial(self) -> Any:
        """All that was taken in, as one value; None if that is nothing, or cannot be told."""


class Anything:
    """For streams whose items are opaque: each says something, they do not add up, and any end is one."""

    whole = True
    of_halves: ClassVar[tuple[type[Exception], ...]] = ()

    def add(self, item: Any) -> bool:
        return True

    def partial(self) -> None:
        return None


class Message:
    """For chunks of a chat model.

    Texts and thoughts are kept as text, since keeping the chunks costs kilobytes each. Nothing is put together before `partial`,
    which takes one pass.
    """

    __slots__ = ("_parts", "_texts", "_thoughts", "whole")
    of_halves: ClassVar[tuple[type[Exception], ...]] = (
        ValidationError,
    )  # the SDK's, which reads the JSON of a schema at the stream's end

    def __init__(self, *, needs_reason: bool = False) -> None:
        """`needs_reason`: whether the answer is whole only once the reason for its end has come."""
        self.whole = not needs_reason
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._parts: list[BaseMessageChunk] = []

    def add(self, item: Any) -> bool:
        if not isinstance(item, ChatGenerationChunk):
            self.whole = True  # an answer in one piece
            return True
        message = item.message
        ends = _ends(item)
        if ends:
            self.whole = True
        content, more = message.content, message.additional_kwargs
        if content.__class__ is str and not (isinstance(message, AIMessageChunk) and message.tool_call_chunks):
            if not more:
                if content:
                    self._texts.append(content)
                    return True
                # The role, the usage: they say something only at the end, and then nobody waits.
                return ends or bool(getattr(message, "usage_metadata", None))
            if len(more) == 1 and isinstance(thought := more.get(THOUGHTS), str):
                if content:
                    self._texts.append(content)
                self._thoughts.append(thought)
                return bool(content or thought or ends)
        self._join()
        self._parts.append(message)
        # A list without blocks is how the Responses API begins: an id, and nothing said.
        return bool(content or more or ends or getattr(message, "tool_call_chunks", None))

    def finish(self) -> None:
        """The reason for the end has come some other way."""
        self.whole = True

    def partial(self) -> AIMessageChunk | None:
        self._join()
        if not self._parts:
            return None
        first, *others = [
            each if isinstance(each, AIMessageChunk) else AIMessageChunk(content=each.content) for each in self._parts
        ]
        whole = first + others if others else first
        assert isinstance(whole, AIMessageChunk)
        return whole

    def _join(self) -> None:
        if self._texts or self._thoughts:
            thoughts = {THOUGHTS: "".join(self._thoughts)} if self._thoughts else {}
            self._parts.append(AIMessageChunk(content="".join(self._texts), additional_kwargs=thoughts))
            self._texts.clear()
            self._thoughts.clear()


def _ends(item: ChatGenerationChunk) -> bool:
    """Whether it has the reason for the end: `finish_reason`, or the state of the whole in the Responses API."""
    info = item.generation_info
    if info and info.get("finish_reason"):
        return True
    metadata = item.message.response_metadata
    return len(metadata) > 1 and bool(metadata.get("finish_reason") or metadata.get("status"))
