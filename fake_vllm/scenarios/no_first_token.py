from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps, before_token, forever


@dataclass(frozen=True, config=STRICT)
class NoFirstToken(Scenario):
    """Sends the response headers at once, then never a token: a prefill that does not end."""

    name = "no_first_token"

    def payloads(self, steps: Steps, call: Call) -> Steps:
        yield from before_token(steps, 0)
        yield from forever()
