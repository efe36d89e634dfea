from dataclasses import replace

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.engine.timing import Pace
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Load(Scenario):
    """Slows down with load: each other running sequence adds some milliseconds.

    They are `gap` (0.5) on each token and `first_token` (20) on the first.
    """

    only_delivers = True
    needs_model = True
    gap: float = Field(0.5, ge=0)
    first_token: float = Field(20.0, ge=0)

    def pace(self, pace: Pace) -> Pace:
        return replace(
            pace, gap_per_running=self.gap / 1000, first_per_running=self.first_token / 1000
        )
