from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps


@dataclass(frozen=True, config=STRICT)
class Malformed(Scenario):
    """Breaks the JSON of the event after `after` tokens (5): its last brace is missing; the rest of the answer is as usual."""

    name = "malformed"
    only_delivers = True
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        made = 0
        for at, data, tokens in steps:
            made += tokens
            if data.startswith(b"data: {") and made > self.after and tokens:
                data, made = data.rstrip(b"\n")[:-1] + b"\n\n", -(2**63)
            elif data and not call.stream:
                data = data[:-1] + b" "
            yield at, data, tokens
