from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Cut, Scenario
from fake_vllm.steps import Steps, before_token


@dataclass(frozen=True, config=STRICT)
class Reset(Scenario):
    """Sends `after` tokens (5), then resets the connection (RST) without an end of the body; 0: before any header."""

    name = "reset"
    after: int = Field(5, ge=0)

    def before(self, call: Call) -> None:
        if self.after == 0:
            raise Cut

    def payloads(self, steps: Steps, call: Call) -> Steps:
        yield from before_token(steps, self.after)
        raise Cut
