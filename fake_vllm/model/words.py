"""The source of free text: seeded babble that repeats."""

from random import Random

VOCABULARY = (
    "the deadline a stream token chunk that keeps coming while nobody reads and still the answer "
    "goes on about this very thing again as said before however it must be noted in other words to "
    "sum up the point is once more"
).split()
SENTENCE = 64


def sentence(seed: str) -> list[str]:
    """Return the 64 words that a babble repeats; the last ends with a full stop."""
    random = Random(seed)
    words = [random.choice(VOCABULARY) for _ in range(SENTENCE)]
    words[-1] += "."
    return words
