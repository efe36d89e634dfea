from dataclasses import replace

from pydantic.dataclasses import dataclass

from fake_vllm.model import Echo, GenerationPlan
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class EchoPrompt(Scenario):
    """Says the prompt back, once, as a model that only repeats."""

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        return replace(plan, source=Echo())
