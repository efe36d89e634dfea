"""Prompts as tokens, and the lengths that vLLM allows."""

from dataclasses import dataclass
from typing import Any

from fake_vllm.api.body import Rejected
from fake_vllm.model import tokenizer
from fake_vllm.model.vocabulary import LONGEST, SIZE

WHOLE = -1
"""The value of `truncate_prompt_tokens` for as many tokens as the context has room for."""


@dataclass(frozen=True)
class Prompt:
    """A prompt as text and as token ids."""

    text: str
    ids: list[int]


@dataclass(frozen=True)
class Room:
    """The lengths that prompts may have, in tokens.

    Attributes:
        context: the model's context length. None: prompts are only counted, and have any length.
        output: the tokens that the request wants. 0: it does not say.
        name: the field in which it says so.
        keep: `truncate_prompt_tokens`. None: keep all tokens.
        side: the end at which tokens are cut off: "left" keeps the last tokens, "right" the first.
            None: "right", as in most tokenizers.
    """

    context: int | None
    output: int = 0
    name: str = "max_tokens"
    keep: int | None = None
    side: str | None = None

    def check(self) -> None:
        """Raise `Rejected` if the request wants more than the context has."""
        if self.context is None:
            return
        if self.output > self.context:
            wanted, most = f"{self.name}={self.output}", f"max_model_len={self.context}"
            raise Rejected(
                f"{wanted} cannot be greater than {most}. Please request fewer output tokens.",
                self.name,
                self.output,
            )
        if self.keep is not None and self.keep > self.context:
            text = (
                f"truncate_prompt_tokens={self.keep} cannot be greater than max_model_len = "
                f"{self.context}."
            )
            raise Rejected(
                f"{text} Please request a smaller truncation size.",
                "truncate_prompt_tokens",
                self.keep,
            )

    def prompt(self, text: str) -> Prompt:
        """Tokenize a text; a text that is far too long is refused without tokenizing.

        Raises:
            Rejected: the text is too long.
        """
        _check_characters(text)
        if self.context is None:
            return Prompt(text, tokenizer.encode(text))
        most = self.context * LONGEST
        if self.keep is None and len(text) > most:
            problem = (
                f"contains {len(text)} characters (more than {most} characters, which is the upper "
                f"bound for {self.context} input tokens)."
            )
            raise Rejected(f"{self._limit} {problem} {_REDUCE}", "input_text", len(text))
        if self.keep is not None and self.side is not None:
            text = text[-most:] if self.side == "left" else text[:most]
        needed = self.context + 1 if self.keep is None or self.side == "left" else self._kept
        return Prompt(
            text, self._fitting(tokenizer.encode(text, None if self.side == "left" else needed))
        )

    def of_ids(self, ids: list[int]) -> Prompt:
        """Take a prompt that came as token ids.

        Raises:
            Rejected: the prompt is too long.
        """
        kept = self._fitting(ids)
        return Prompt(tokenizer.decode(kept), kept)

    @property
    def _limit(self) -> str:
        return f"This model's maximum context length is {self.context} tokens. However, your prompt"

    @property
    def _kept(self) -> int | None:
        if self.keep is not None and self.keep < 0 and self.context is not None:
            return self.context if self.output == 0 else self.context - 1
        return self.keep

    def _fitting(self, ids: list[int]) -> list[int]:
        kept = self._kept
        if kept is not None and kept < len(ids):
            ids = ids[len(ids) - kept :] if self.side == "left" else ids[:kept]
        if self.context is not None and len(ids) > self.context:
            about = "at least " if len(ids) == self.context + 1 else ""
            problem = (
                f"contains {about}{len(ids)} input tokens, which exceeds this limit even without "
                "any output tokens."
            )
            raise Rejected(f"{self._limit} {problem} {_REDUCE}", "input_tokens", len(ids))
        return ids


def _check_characters(text: str) -> None:
    """Raise `ValueError`, in a tokenizer's words, for half a character, which JSON can hold."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, InputSequence]]"
        ) from None


_REDUCE = "Please reduce the length of the input prompt."


def check_ids(ids: list[int], param: str | None = None) -> None:
    """Raise `Rejected` for a prompt without tokens, or with unknown tokens."""
    if not ids:
        raise Rejected("The decoder prompt cannot be empty")
    outside: Any = min(ids) if min(ids) < 0 else max(ids)
    if not 0 <= outside < SIZE:
        raise Rejected(f"Token id {outside} is out of vocabulary", param)
