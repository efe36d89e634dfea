"""What a model thinks, told apart from what it says, as by vLLM's reasoning parsers.

The model writes `<think>`, a thought, `</think>`, and the answer. Each of the two marks is one
token, which is never sent.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from fake_vllm.model.vocabulary import THINK, THINK_END

Parser = Literal["qwen3", "deepseek_r1"]
THOUGHT = 30
"""The tokens that the model thinks by itself."""
_OPEN, _CLOSE, _CALL = "<think>", "</think>", "<tool_call>"


class Parts(NamedTuple):
    """A part of a thought, and a part of an answer."""

    reasoning: str
    content: str


def thinks(template: Mapping[str, Any] | None, effort: str | None) -> bool:
    """Tell whether a chat lets the model think.

    Args:
        template: the request's `chat_template_kwargs`, which win. None: there are none.
        effort: its `reasoning_effort`. None: it does not say.
    """
    if "enable_thinking" in (template or {}):
        return (template or {})["enable_thinking"] is not False
    return effort != "none"


def parse(text: str, parser: Parser) -> Parts:
    """Return the parts of a whole answer."""
    thought, mark, rest = text.partition(_CLOSE)
    if parser == "qwen3" and (at := thought.find(_CALL)) >= 0:
        thought, rest = text[:at], text[at:]
    elif parser == "qwen3" and mark:
        rest = rest.replace(_CLOSE, "")
    return Parts(thought.removeprefix(_OPEN), rest)


def ended_in(prompt: str) -> bool:
    """Tell whether a thought has ended in the prompt."""
    return prompt.rfind(_CLOSE) > prompt.rfind(_OPEN)


class Reader:
    """A reader of a stream, which tells thought and answer apart piece by piece.

    Attributes:
        thinking: whether the model still thinks.
    """

    def __init__(self, parser: Parser, prompt: str) -> None:
        """Begin to read.

        Args:
            parser: the parser's name.
            prompt: the prompt, in which a thought may have ended already.
        """
        self._parser = parser
        self._begun = False
        self.thinking = not ended_in(prompt)

    def read(self, text: str) -> Parts:
        """Return the parts of more text."""
        if not self.thinking:
            return Parts("", text)
        if not self._begun and text:
            self._begun = True
            text = text.removeprefix(_OPEN)
        thought, mark, rest = text.partition(_CLOSE)
        if self._parser == "qwen3" and (at := thought.find(_CALL)) >= 0:
            thought, mark, rest = text[:at], _CALL, text[at:]
        self.thinking = not mark
        return Parts(thought, rest)


class Counter:
    """A count of the tokens of thoughts, without the marks."""

    def __init__(self, parser: Parser) -> None:
        self._always = parser == "deepseek_r1"  # it counts later thoughts, and none without a mark
        self._inside = not self._always
        self._over = False
        self.tokens = 0

    def add(self, ids: Iterable[int]) -> None:
        """Count more tokens."""
        for id in ids:
            if id == THINK:
                self._inside = self._always or not self._over
            elif id == THINK_END:
                self._inside, self._over = False, True
            elif self._inside:
                self.tokens += 1


def counted(ids: Iterable[int], parser: Parser) -> int:
    """Return the number of tokens of the thoughts in a whole answer."""
    counter = Counter(parser)
    counter.add(ids)
    return counter.tokens
