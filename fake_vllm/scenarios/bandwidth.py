import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

SLICES = 20  # packets per second


@dataclass(frozen=True, config=STRICT)
class Bandwidth(Scenario):
    """Sends at most `bytes` bytes (10000) per second, head and chunk sizes included.

    The model waits for the line, so nothing piles up.
    """

    only_delivers = True
    bytes: float = Field(10_000.0, gt=0)

    def packets(self, steps: Steps, response: Response) -> Steps:
        size, free = max(1, math.floor(self.bytes / SLICES)), 0.0
        for at, data, tokens in steps:
            yield (max(at, free) if data else at), data[:size], tokens
            free = max(free, response.now()) + min(size, len(data)) / self.bytes
            for start in range(size, len(data), size):
                part = data[start : start + size]
                yield free, part, 0
                free = max(free, response.now()) + len(part) / self.bytes
