import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import LOOK, Steps
from fake_vllm.scenarios.base import STRICT, Cut, Scenario


@dataclass(frozen=True, config=STRICT)
class TimeLimit(Scenario):
    """Closes the connection (FIN) `seconds` (60) after the request came.

    A gateway that limits the whole answer does that.
    """

    only_delivers = True
    seconds: float = Field(60.0, gt=0)

    def packets(self, steps: Steps, response: Response) -> Steps:
        until = response.now() + self.seconds
        for at, data, tokens in steps:
            due = response.now() + LOOK if at == math.inf else at
            if max(due, response.now()) > until:
                yield until, b"", 0
                raise Cut(clean=True)
            yield due, data, tokens
