from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token, forever
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class NoFirstToken(Scenario):
    """Sends the response headers at once, but never a token: an endless prefill."""

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, 0)
        yield from forever()
