"""What a model writes, read as thoughts, words and tool calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fake_vllm.api import hermes, reasoning
from fake_vllm.api.reasoning import Parser


@dataclass(frozen=True)
class Reading:
    """How to read what the model writes.

    Attributes:
        calls: whether to look for tool calls.
        parser: the parser of thoughts. None: there are none.
        prompt: the prompt; a thought may have ended in it.
        looks_back: whether a whole answer minds the prompt, as a stream always does.
        hidden: whether thoughts are left out.
        one_call: whether only the first tool call counts.
    """

    calls: bool = False
    parser: Parser | None = None
    prompt: str = ""
    looks_back: bool = False
    hidden: bool = False
    one_call: bool = False


class Whole(NamedTuple):
    """A whole answer; None stands for no text."""

    reasoning: str | None
    content: str | None
    calls: list[hermes.ToolCall]


def read_whole(text: str, reading: Reading) -> Whole:
    """Return the parts of a whole answer."""
    thought: str | None = None
    content: str | None = text
    if reading.parser is not None:
        closed = reading.looks_back and reasoning.ended_in(reading.prompt)
        parts = reasoning.Parts("", text) if closed else reasoning.parse(text, reading.parser)
        thought = None if reading.hidden else parts.reasoning or None
        content = parts.content or None
    calls: list[hermes.ToolCall] = []
    if reading.calls and content is not None:
        content, calls = hermes.parse(content)
    return Whole(thought, content, calls[:1] if reading.one_call else calls)


@dataclass
class StreamReader:
    """A reader of one choice's stream.

    Attributes:
        reading: how to read it.
    """

    reading: Reading
    _thoughts: reasoning.Reader | None = field(init=False, default=None)
    _calls: hermes.Reader = field(init=False, default_factory=hermes.Reader)
    _counter: reasoning.Counter | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.reading.parser is not None:
            self._thoughts = reasoning.Reader(self.reading.parser, self.reading.prompt)
            self._counter = reasoning.Counter(self.reading.parser)

    @property
    def calls(self) -> int:
        """Return how many calls have begun."""
        return self._calls.calls

    @property
    def reasoning_tokens(self) -> int:
        """Return how many tokens the thoughts have had."""
        return 0 if self._counter is None else self._counter.tokens

    def delta(self, text: str, ids: Sequence[int]) -> dict[str, Any] | None:
        """Return the delta of more text, as a chat has it. None: nothing to send.

        Args:
            text: the text.
            ids: the tokens, which are counted.
        """
        if self._thoughts is None or self._counter is None:
            return self._answer(text)
        self._counter.add(ids)
        parts = self._thoughts.read(text)
        delta = self._answer(parts.content) if parts.content else None
        if self.reading.hidden:
            return (
                None
                if delta is None
                else {"content": delta.pop("content"), "reasoning": None, **delta}
            )
        if not parts.reasoning:
            return delta
        if delta is None:
            return {"reasoning": parts.reasoning}
        first = {"content": delta.pop("content")} if "content" in delta else {}
        return {**first, "reasoning": parts.reasoning, **delta}

    def last_delta(self) -> dict[str, Any]:
        """Return the delta of the last event, if its token has no text."""
        thinks = self._thoughts is not None and self._thoughts.thinking
        if thinks and self.reading.parser == "deepseek_r1" and not self.reading.hidden:
            return {"reasoning": ""}
        return {}

    def _answer(self, text: str) -> dict[str, Any] | None:
        if not self.reading.calls:
            return {"content": text} if text else None
        delta = self._calls.delta(text)
        if delta is not None and "tool_calls" in delta and self.reading.one_call:
            delta["tool_calls"] = [call for call in delta["tool_calls"] if call["index"] == 0]
            if not delta["tool_calls"]:
                return {"content": delta["content"]}
        return delta
