"""Plan what the model says to one request: how long it is, and where its text comes from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, cycle, islice
from typing import Protocol

from fake_vllm.model import tokenizer
from fake_vllm.model.piece import PLAIN, Piece
from fake_vllm.model.vocabulary import IDS
from fake_vllm.model.words import sentence


class Source(Protocol):
    """Where free text comes from."""

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        """The text token after token. A text that is over begins anew if it has to be `endless`."""


@dataclass(frozen=True)
class Babble:
    """Seeded words that repeat after 64, without end."""

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        first, spaced = _babble(seed)
        return chain([first], spaced[1:], cycle(spaced))


@dataclass(frozen=True)
class Phrase:
    """The same words again and again, without end: what `repetition_detection` is for."""

    text: str

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        return cycle(_spelled(self.text))


@dataclass(frozen=True)
class Recorded:
    """A text that was recorded, one string per token."""

    tokens: tuple[str, ...]

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        made = [Piece(token, (tokenizer.one_id(token),)) for token in self.tokens]
        return cycle(made) if endless else iter(made)


@dataclass(frozen=True)
class Echo:
    """The prompt again."""

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        made = _spelled(prompt)
        return cycle(made) if endless else iter(made)


@dataclass(frozen=True)
class GenerationPlan:
    """How much the model says to one request, and from where; scenarios change it.

    `eos_after`: after how many tokens the model emits its end token; None: never. The script keeps to this.
    `max_tokens`: the most that the request wants; None: it does not say.
    `context`: what is left of the model's context; None: it never fills.
    `source`: where free text comes from; a text whose shape the request sets, such as JSON, is not touched by it.
    """

    eos_after: int | None
    max_tokens: int | None
    context: int | None
    source: Source = field(default_factory=Babble)

    @property
    def limit(self) -> int | None:
        """The most tokens it may make; None: no limit at all."""
        return min((n for n in (self.max_tokens, self.context) if n is not None), default=None)

    @property
    def endless(self) -> bool:
        return self.eos_after is None and self.limit is None

    @property
    def runs_on(self) -> bool:
        """Whether the end token would come only when the context is full, or never."""
        return self.eos_after is None or (
            self.context is not None and self.eos_after >= self.context
        )

    def free_text(self, seed: str, prompt: str) -> Iterator[Piece]:
        """Return free text up to the place of the end token; without end if the plan has none."""
        return islice(
            self.source.pieces(seed, prompt, endless=self.eos_after is None), self.eos_after
        )


@lru_cache(maxsize=256)  # clients tend to ask the same again and again
def _babble(seed: str) -> tuple[Piece, list[Piece]]:
    """The first word without a space before it, and all of them with one."""
    words = sentence(seed)
    return PLAIN[IDS[words[0]]], [PLAIN[IDS[f" {word}"]] for word in words]


def _spelled(text: str) -> list[Piece]:
    return [Piece(part, (id,)) for id, part in tokenizer.steps(tokenizer.encode(text))]
