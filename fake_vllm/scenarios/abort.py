from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps, before_token


@dataclass(frozen=True, config=STRICT)
class Abort(Scenario):
    """Sends `after` tokens (5), then ends with `finish_reason` "abort", as a vLLM that is being stopped; a whole answer holds that part."""

    name = "abort"
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        yield from before_token(steps, self.after)
        call.abort()
        yield from steps
