from dataclasses import replace

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.model import Echo, GenerationPlan, Recorded
from fake_vllm.scenarios.base import STRICT, Scenario

USUAL = 40


@dataclass(frozen=True, config=STRICT)
class Finite(Scenario):
    """Answers healthily: the end token comes after `tokens` tokens.

    The default is 40, or all of --text. `ignore_eos` suppresses the end token.
    """

    tokens: int | None = Field(default=None, ge=0)

    @property
    def makes_text(self) -> bool:
        return self.tokens is not None

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        if plan.eos_after is None or (
            self.tokens is None and isinstance(plan.source, Echo | Recorded)
        ):
            return plan
        return replace(plan, eos_after=USUAL if self.tokens is None else self.tokens)
