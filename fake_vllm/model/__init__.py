"""The pretended model: what it says, token by token."""

from fake_vllm.model.plan import (
    Babble,
    Echo,
    GenerationPlan,
    Phrase,
    Recorded,
    Source,
    Spoken,
    Thought,
)
from fake_vllm.model.text_piece import Finish, Piece, merge

__all__ = [
    "Babble",
    "Echo",
    "Finish",
    "GenerationPlan",
    "Phrase",
    "Piece",
    "Recorded",
    "Source",
    "Spoken",
    "Thought",
    "merge",
]
