"""Where the tokens come from: a seeded babble that repeats itself, as a model does that has lost its end token."""

from collections.abc import Iterator
from itertools import cycle
from random import Random

VOCABULARY = (
    "the deadline a stream token chunk that keeps coming while nobody reads and still the answer goes on about this "
    "very thing again as said before however it must be noted in other words to sum up the point is once more"
).split()
SENTENCE = 64


def babble(seed: str) -> Iterator[str]:
    """Tokens without end; the same seed gives the same text. Memory stays constant: one sentence of 64 words, for ever."""
    random = Random(seed)
    words = [random.choice(VOCABULARY) for _ in range(SENTENCE)]
    words[-1] += "."
    yield words[0]
    spaced = [f" {word}" for word in words]
    yield from spaced[1:]
    yield from cycle(spaced)


def count(text: str) -> int:
    """How many tokens a prompt has, roughly: a word is a token, and the chat template costs a few."""
    return len(text.split()) + 8
