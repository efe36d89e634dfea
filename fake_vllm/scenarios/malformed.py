import re

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

EVENT = re.compile(rb"((?:.*[\r\n])?data: ?\{.*)\}([\r\n]+)", re.DOTALL)
"""An event as it is here and on other servers, without its last brace, and its end."""


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
            if made > self.after and tokens and (found := EVENT.fullmatch(data)):
                data, made = found[1] + found[2], -(2**63)
            elif data and not response.stream:
                data = data[:-1] + b" "
            yield at, data, tokens
