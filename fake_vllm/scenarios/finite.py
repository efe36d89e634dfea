from dataclasses import replace

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.engine import Plan
from fake_vllm.scenarios.base import Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class Finite(Scenario):
    """A healthy answer: the model emits its end token after `tokens` tokens (40), unless `ignore_eos` holds it back."""

    name = "finite"
    tokens: int = Field(40, ge=0)

    def shape(self, plan: Plan) -> Plan:
        return plan if plan.eos_after is None else replace(plan, eos_after=self.tokens)
