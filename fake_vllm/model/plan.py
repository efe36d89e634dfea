"""The plan for one generation: how long it is, and where its text comes from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, cycle, islice
from typing import Protocol

from fake_vllm.model import tokenizer
from fake_vllm.model.text_piece import PLAIN, Piece
from fake_vllm.model.vocabulary import IDS, THINK, THINK_END
from fake_vllm.model.words import sentence


class Source(Protocol):
    """A source of free text."""

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        """Yield the text token by token; an `endless` text begins again at its end."""


@dataclass(frozen=True)
class Babble:
    """Endless seeded words, which repeat after 64."""

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        first, spaced = _babble(seed)
        return chain([first], spaced[1:], cycle(spaced))


@dataclass(frozen=True)
class Phrase:
    """Endless repetition of the same words, which `repetition_detection` looks for."""

    text: str

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        return cycle(_spelled(self.text))


@dataclass(frozen=True)
class Recorded:
    """A recorded text, one string for each token."""

    tokens: tuple[str, ...]

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        made = [Piece(token, (tokenizer.one_id(token),)) for token in self.tokens]
        return cycle(made) if endless else iter(made)


@dataclass(frozen=True)
class Spoken:
    """A given text, tokenized as the model's own."""

    text: str

    @property
    def tokens(self) -> int:
        """Return the number of its tokens."""
        return len(_spelled(self.text))

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        made = _spelled(self.text)
        return cycle(made) if endless else iter(made)


@dataclass(frozen=True)
class Thought:
    """Seeded words between the marks of a thought."""

    tokens: int

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        words = Babble().pieces(f"{seed} thought", prompt, endless=True)
        return chain([PLAIN[THINK]], islice(words, self.tokens), [PLAIN[THINK_END]])


@dataclass(frozen=True)
class Echo:
    """The prompt itself."""

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        made = _spelled(prompt)
        return cycle(made) if endless else iter(made)


@dataclass(frozen=True)
class GenerationPlan:
    """The length and source of one generation; scenarios change it.

    Attributes:
        eos_after: the number of tokens after which the model emits its end token. None: never. The
            script follows this.
        max_tokens: the most tokens that the request wants. None: it does not say.
        context: the tokens left in the model's context. None: it never fills.
        source: the source of free text. It has no effect on texts in a prescribed form, such as
            JSON, unless the plan is scripted.
        scripted: whether the source's text is the answer, whatever form the request prescribes.
        reasons: whether thought and answer are separate, as with --reasoning-parser.
        may_think: whether the request lets the model think.
        thought: what the model thinks before it answers, with the marks around it; its tokens do
            not count for `eos_after`. None: it does not think.
        most_thinking: the tokens of thought after which the engine ends it, the request's
            `thinking_token_budget`. None: never.
    """

    eos_after: int | None
    max_tokens: int | None
    context: int | None
    source: Source = field(default_factory=Babble)
    scripted: bool = False
    reasons: bool = False
    may_think: bool = False
    thought: Source | None = None
    most_thinking: int | None = None

    @property
    def limit(self) -> int | None:
        """Return the most tokens it may make. None: no limit."""
        return min((n for n in (self.max_tokens, self.context) if n is not None), default=None)

    @property
    def endless(self) -> bool:
        return self.eos_after is None and self.limit is None

    @property
    def runs_on(self) -> bool:
        """Tell whether the end token would come only when the context is full, or never."""
        return self.eos_after is None or (
            self.context is not None and self.eos_after >= self.context
        )

    def free_text(self, seed: str, prompt: str) -> Iterator[Piece]:
        """Return free text up to the end token; endless if the plan has none."""
        return islice(
            self.source.pieces(seed, prompt, endless=self.eos_after is None), self.eos_after
        )


@lru_cache(maxsize=256)  # clients tend to repeat their requests
def _babble(seed: str) -> tuple[Piece, list[Piece]]:
    """Return the first word without a leading space, and all words with one."""
    words = sentence(seed)
    return PLAIN[IDS[words[0]]], [PLAIN[IDS[f" {word}"]] for word in words]


def _spelled(text: str) -> list[Piece]:
    return [Piece(part, (id,)) for id, part in tokenizer.steps(tokenizer.encode(text))]
