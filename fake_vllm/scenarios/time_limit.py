import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Cut, Scenario
from fake_vllm.steps import Steps

LOOK = 0.02  # seconds between two looks at what waits to be woken, as for a slot


@dataclass(frozen=True, config=STRICT)
class TimeLimit(Scenario):
    """Closes the connection (FIN) `seconds` (60) after the request came, whatever is under way, as a gateway that limits the whole."""

    name = "time_limit"
    only_delivers = True
    seconds: float = Field(60.0, gt=0)

    def packets(self, steps: Steps, call: Call) -> Steps:
        until = call.now() + self.seconds
        for at, data, tokens in steps:
            due = call.now() + LOOK if at == math.inf else at
            if max(due, call.now()) > until:
                yield until, b"", 0
                raise Cut(clean=True)
            yield due, data, tokens
