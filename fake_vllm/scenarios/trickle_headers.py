import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps


@dataclass(frozen=True, config=STRICT)
class TrickleHeaders(Scenario):
    """Sends status line and headers one byte every `every` seconds (0.05), then the body as usual; the request has its slot meanwhile."""

    name = "trickle_headers"
    only_delivers = True
    every: float = Field(0.05, gt=0)

    def packets(self, steps: Steps, call: Call) -> Steps:
        for at, data, tokens in steps:
            yield at, data[:1], tokens
            if data:
                break
        else:
            return
        head, end, rest = data.partition(b"\r\n\r\n")
        waiting = next(steps, None) if not rest else None  # asks for the slot
        for byte in (head + end)[1:]:
            yield call.now() + self.every, bytes([byte]), 0
        yield call.now() + self.every, rest, 0
        if waiting is not None and waiting[0] < math.inf:
            yield waiting
        yield from steps
