from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token, every
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class EmptyDeltas(Scenario):
    """Sends `after` tokens (5), then only empty events.

    There is an event with `"content":""` every `every` seconds (0.1).
    """

    needs_model = True
    after: int = Field(5, ge=0)
    every: float = Field(0.1, gt=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        yield from every(self.every, response.token(""), response)
