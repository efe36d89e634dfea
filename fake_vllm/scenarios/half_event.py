from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps, before_token, every


@dataclass(frozen=True, config=STRICT)
class HalfEvent(Scenario):
    """Sends `after` tokens (5), then an event that never ends: one more byte of it every `every` seconds (0.1)."""

    name = "half_event"
    after: int = Field(5, ge=0)
    every: float = Field(0.1, gt=0)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        yield from before_token(steps, self.after)
        yield call.now(), call.says(b'data: {"id":'), 0
        yield from every(self.every, call.says(b" "), call, at_once=False)
