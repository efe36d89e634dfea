from dataclasses import replace

from pydantic.dataclasses import dataclass

from fake_vllm.model import Echo, Plan
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class EchoPrompt(Scenario):
    """Says the prompt back, once, as a model that only repeats."""

    name = "echo"

    def shape(self, plan: Plan) -> Plan:
        return replace(plan, source=Echo())
