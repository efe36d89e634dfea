"""What has arrived so far, and whether an item says anything."""

from typing import Any, Protocol

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.outputs import ChatGenerationChunk


class Collector(Protocol):
    """Sees every item of one stream, in order."""

    def add(self, item: Any) -> bool:
        """Take an item in; whether it says something, as opposed to filling the silence."""

    def partial(self) -> Any:
        """All that was taken in, as one value; None if that is nothing, or cannot be told."""


class Anything:
    """For streams whose items are opaque: each says something, and they do not add up."""

    def add(self, item: Any) -> bool:
        return True

    def partial(self) -> None:
        return None


class Message:
    """For chunks of a chat model.

    Text is kept as text: adding message chunks up one by one costs more than the rest of the stream, and keeping them costs
    kilobytes each.
    """

    __slots__ = ("_parts", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._parts: list[BaseMessageChunk] = []

    def add(self, item: Any) -> bool:
        if not isinstance(item, ChatGenerationChunk):
            return True  # an answer in one piece
        message = item.message
        if isinstance(message, AIMessageChunk) and isinstance(message.content, str) and not message.tool_call_chunks:
            if message.content:
                self._texts.append(message.content)
                return True
            if not message.additional_kwargs:
                # The role, the reason for the end, the usage: they say something only at the end, and then nobody waits.
                return bool(message.usage_metadata or (item.generation_info or {}).get("finish_reason"))
        self._join()
        self._parts.append(message)
        return True

    def partial(self) -> AIMessageChunk | None:
        self._join()
        if not self._parts:
            return None
        whole = self._parts[0]
        for part in self._parts[1:]:
            whole = whole + part
        return whole if isinstance(whole, AIMessageChunk) else AIMessageChunk(content=whole.content)

    def _join(self) -> None:
        if self._texts:
            self._parts.append(AIMessageChunk(content="".join(self._texts)))
            self._texts.clear()
