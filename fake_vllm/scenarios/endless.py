from dataclasses import replace

from pydantic.dataclasses import dataclass

from fake_vllm.model import GenerationPlan
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Endless(Scenario):
    """Never ends: no end token, and a context that never fills.

    Only `max_tokens`, a stop string or the client ends it.
    """

    needs_model = True

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        return replace(plan, eos_after=None, context=None)
