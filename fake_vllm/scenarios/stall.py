from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token, forever
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Stall(Scenario):
    """Sends `after` tokens (5), then nothing more.

    The connection stays open and silent, and the slot is held.
    """

    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        yield from forever()
