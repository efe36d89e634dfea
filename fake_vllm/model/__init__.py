"""The pretended model: what it says, token after token."""

from fake_vllm.model.piece import Finish, Piece, merge
from fake_vllm.model.plan import Babble, Echo, GenerationPlan, Phrase, Recorded, Source

__all__ = [
    "Babble",
    "Echo",
    "Finish",
    "GenerationPlan",
    "Phrase",
    "Piece",
    "Recorded",
    "Source",
    "merge",
]
