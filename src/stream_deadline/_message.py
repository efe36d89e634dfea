"""Collect the chunks of a chat model, and notice whether the answer is whole."""

from typing import Any, ClassVar

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import ValidationError

REASONING = "reasoning_content"
"""The key of `additional_kwargs` under which LangChain's own packages keep a model's reasoning."""


class MessageAccumulator:
    """For the chunks of a chat model.

    Texts and reasoning are kept as strings, since a chunk takes kilobytes. They are merged in
    `partial`, in one pass.
    """

    __slots__ = ("_parts", "_reasoning", "_texts", "whole")
    # The SDK raises them at the end of a stream with a schema: where it reads the JSON, and where
    # there was no chunk.
    errors_of_halves: ClassVar[tuple[type[Exception], ...]] = (ValidationError, AssertionError)

    def __init__(self, *, needs_reason: bool = False) -> None:
        """Start with nothing.

        Args:
            needs_reason: whether the answer is whole only once its finish reason has come.
        """
        self.whole = not needs_reason
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._parts: list[BaseMessageChunk] = []

    def add(self, item: Any) -> bool:
        """Take a chunk in, and return whether it says something."""
        if not isinstance(item, ChatGenerationChunk):
            self.whole = True  # an answer in one piece
            return True
        message = item.message
        ends = _ends(item)
        if ends:
            self.whole = True
        content, more = message.content, message.additional_kwargs
        calls_tools = isinstance(message, AIMessageChunk) and message.tool_call_chunks
        if content.__class__ is str and not calls_tools:
            if not more:
                if content:
                    self._texts.append(content)
                    return True
                # A role or the usage counts only at the end, where the call waits for nothing more.
                return ends or bool(getattr(message, "usage_metadata", None))
            if len(more) == 1 and isinstance(reasoning := more.get(REASONING), str):
                if content:
                    self._texts.append(content)
                self._reasoning.append(reasoning)
                return bool(content or reasoning or ends)
        self._join()
        self._parts.append(message)
        # The Responses API begins with a list without blocks, which carries an id and says nothing.
        return bool(content or more or ends or getattr(message, "tool_call_chunks", None))

    def finish(self) -> None:
        """Note a finish reason that came in a chunk outside the stream."""
        self.whole = True

    def partial(self) -> AIMessageChunk | None:
        """Merge what has arrived into one message; None if nothing has."""
        self._join()
        if not self._parts:
            return None
        first, *others = [
            each if isinstance(each, AIMessageChunk) else AIMessageChunk(content=each.content)
            for each in self._parts
        ]
        whole = first + others if others else first
        assert isinstance(whole, AIMessageChunk)
        return whole

    def _join(self) -> None:
        if self._texts or self._reasoning:
            more = {REASONING: "".join(self._reasoning)} if self._reasoning else {}
            text = "".join(self._texts)
            self._parts.append(AIMessageChunk(content=text, additional_kwargs=more))
            self._texts.clear()
            self._reasoning.clear()


def _ends(item: ChatGenerationChunk) -> bool:
    """Return whether the chunk has a finish reason, or a status of the Responses API."""
    info = item.generation_info
    if info and info.get("finish_reason"):
        return True
    metadata = item.message.response_metadata
    return len(metadata) > 1 and bool(metadata.get("finish_reason") or metadata.get("status"))


def reasoning_of(message: dict[str, Any]) -> str | None:
    """Return the reasoning in a delta or a message; None: it has none.

    vLLM's name for it is `reasoning`, and was `reasoning_content`; some servers send both.
    """
    text = message.get("reasoning_content") or message.get("reasoning")
    return text if isinstance(text, str) and text else None
