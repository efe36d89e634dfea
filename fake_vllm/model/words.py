"""Where free text comes from: a seeded babble that repeats itself, as a model does that has lost its end token."""

from random import Random

VOCABULARY = (
    "the deadline a stream token chunk that keeps coming while nobody reads and still the answer goes on about this "
    "very thing again as said before however it must be noted in other words to sum up the point is once more"
).split()
SENTENCE = 64


def sentence(seed: str) -> list[str]:
    """The 64 words that a babble repeats; the same seed gives the same words. The last one ends with a full stop."""
    random = Random(seed)
    words = [random.choice(VOCABULARY) for _ in range(SENTENCE)]
    words[-1] += "."
    return words
