from dataclasses import replace

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.model import Echo, GenerationPlan, Recorded
from fake_vllm.scenarios.base import STRICT, Scenario

USUAL = 40


@dataclass(frozen=True, config=STRICT)
class Finite(Scenario):
    """A healthy answer: the model emits its end token after `tokens` tokens (40, or all of --text), unless `ignore_eos` holds it back."""

    tokens: int | None = Field(default=None, ge=0)

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        if plan.eos_after is None or (
            self.tokens is None and isinstance(plan.source, Echo | Recorded)
        ):
            return plan
        return replace(plan, eos_after=USUAL if self.tokens is None else self.tokens)
