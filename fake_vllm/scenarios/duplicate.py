from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps


@dataclass(frozen=True, config=STRICT)
class Duplicate(Scenario):
    """Sends the event after `after` tokens (5) twice, as a proxy that sends a buffer again."""

    name = "duplicate"
    only_delivers = True
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        made = 0
        for at, data, tokens in steps:
            yield at, data, tokens
            made += tokens
            if tokens and made == self.after + 1 and call.stream:
                yield at, data, 0
