"""The pretended model: what it says, token after token."""

from fake_vllm.model.piece import Finish, Piece, merge
from fake_vllm.model.plan import Babble, Echo, Phrase, Plan, Recorded, Source

__all__ = ["Babble", "Echo", "Finish", "Phrase", "Piece", "Plan", "Recorded", "Source", "merge"]
