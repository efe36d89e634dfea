from dataclasses import replace

from pydantic.dataclasses import dataclass

from fake_vllm.model import GenerationPlan, Phrase
from fake_vllm.scenarios.base import STRICT, GivenText, Scenario


@dataclass(frozen=True, config=STRICT)
class Repeat(Scenario):
    """Repeats `phrase` ("again and ") endlessly, as a model caught in a loop.

    `repetition_detection` ends it.
    """

    needs_model = True
    phrase: GivenText = "again and "

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        return replace(plan, eos_after=None, context=None, source=Phrase(self.phrase))
