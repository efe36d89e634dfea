"""Made-up log-probabilities: the same for the same token, and highest for the drawn token."""

from typing import Final, NamedTuple

from fake_vllm.model.tokenizer import decode
from fake_vllm.model.vocabulary import FIRST_WORD, SIZE

LEAST: Final = -9999.0


class Candidate(NamedTuple):
    """A candidate for one position; rank 1 is the likeliest."""

    id: int
    logprob: float
    rank: int

    @property
    def token(self) -> str:
        return token_text(self.id)


def token_text(id: int) -> str:
    """Return a token's text by itself. Empty: it is a part of a character."""
    text = decode([id])
    return "" if text.endswith("\ufffd") else text


def drawn(id: int, top: int) -> list[Candidate]:
    """Return the drawn token as the likeliest, and the next ones, `top` in all."""
    return [Candidate(id, -0.25 - id % 64 / 256, 1), *_others(id, top - 1, rank=2)]


def given(id: int, top: int) -> list[Candidate]:
    """Return a token of the prompt, and the likeliest `top` tokens at its position."""
    return [Candidate(id, -6.5 - id % 64 / 256, top + 2 + id % 500), *_others(id, top, rank=1)]


def named_by_client(id: int, ids: list[int]) -> list[Candidate]:
    """Return the drawn token, and the tokens that the client named."""
    named = [
        Candidate(other, -8.0 - other % 64 / 256, at + 2)
        for at, other in enumerate(ids)
        if other != id
    ]
    return [*drawn(id, 1), *named]


def _others(id: int, count: int, rank: int) -> list[Candidate]:
    words = SIZE - FIRST_WORD
    others = (FIRST_WORD + (id * 31 + at * 97) % words for at in range(count + 1))
    return [
        Candidate(other, -1.0 - (rank + at) / 4, rank + at)
        for at, other in enumerate(x for x in others if x != id)
    ][: max(count, 0)]
