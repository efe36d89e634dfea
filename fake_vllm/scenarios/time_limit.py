import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Cut, Scenario

LOOK = 0.02  # seconds between two checks of a step that waits to be woken, as for a slot


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
