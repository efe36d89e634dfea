from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Malformed(Scenario):
    """Leaves out the last brace of the event after `after` tokens (5).

    Its JSON is broken; the rest of the answer is as usual.
    """

    only_delivers = True
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        made = 0
        for at, data, tokens in steps:
            made += tokens
            if b"data: {" in data and made > self.after and tokens:
                data, made = data.rstrip(b"\n")[:-1] + b"\n\n", -(2**63)
            elif data and not response.stream:
                data = data[:-1] + b" "
            yield at, data, tokens
