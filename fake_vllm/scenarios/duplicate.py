from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Duplicate(Scenario):
    """Sends the event after `after` tokens (5) twice.

    A proxy that sends a buffer again does that.
    """

    only_delivers = True
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        made = 0
        for at, data, tokens in steps:
            yield at, data, tokens
            made += tokens
            if tokens and made == self.after + 1 and response.stream:
                yield at, data, 0
