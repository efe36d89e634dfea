from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import COMMENT, Steps, before_token, every


@dataclass(frozen=True, config=STRICT)
class KeepAlive(Scenario):
    """Sends `after` tokens (5), then only SSE comments, one every `every` seconds (0.1): bytes flow, the answer does not."""

    name = "keep_alive"
    after: int = Field(5, ge=0)
    every: float = Field(0.1, gt=0)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        yield from before_token(steps, self.after)
        yield from every(self.every, call.says(COMMENT), call)
