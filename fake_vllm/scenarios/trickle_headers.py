import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class TrickleHeaders(Scenario):
    """Sends the head one byte every `every` seconds (0.05).

    The body follows as usual, and the request already has its slot.
    """

    only_delivers = True
    every: float = Field(0.05, gt=0)

    def packets(self, steps: Steps, response: Response) -> Steps:
        for at, data, tokens in steps:
            yield at, data[:1], tokens
            if data:
                break
        else:
            return
        head, end, rest = data.partition(b"\r\n\r\n")
        waiting = next(steps, None) if not rest else None  # asks for the slot
        for byte in (head + end)[1:]:
            yield response.now() + self.every, bytes([byte]), 0
        yield response.now() + self.every, rest, 0
        if waiting is not None and waiting[0] < math.inf:
            yield waiting
        yield from steps
