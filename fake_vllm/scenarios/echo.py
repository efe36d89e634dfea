from dataclasses import replace

from pydantic.dataclasses import dataclass

from fake_vllm.model import Echo, GenerationPlan
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class EchoPrompt(Scenario):
    """Repeats the prompt once, as a model does that only echoes."""

    needs_model = True

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        return replace(plan, source=Echo())
