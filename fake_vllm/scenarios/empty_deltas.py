from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps, before_token, every


@dataclass(frozen=True, config=STRICT)
class EmptyDeltas(Scenario):
    """Sends `after` tokens (5), then only events that say nothing (`"content":""`), one every `every` seconds (0.1)."""

    name = "empty_deltas"
    after: int = Field(5, ge=0)
    every: float = Field(0.1, gt=0)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        yield from before_token(steps, self.after)
        yield from every(self.every, call.token(""), call)
