from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps, before_token

HALF = b'{"id":"'


@dataclass(frozen=True, config=STRICT)
class EndsEarly(Scenario):
    """Sends `after` tokens (5), then ends the body as if that were all: no `finish_reason`, no `[DONE]`; of a whole answer a few bytes."""

    name = "ends_early"
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        whole = False
        for at, data, tokens in before_token(steps, self.after):
            whole = whole or bool(data and not call.stream)
            yield at, data, tokens
        if not (call.stream or whole):
            call.length = len(HALF)
            yield call.now(), HALF, 0
