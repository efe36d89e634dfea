from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Trickle(Scenario):
    """Sends the headers at once, and the body in small pieces.

    A piece has `bytes` bytes (1) and comes every `every` seconds (0.05).
    """

    only_delivers = True
    bytes: int = Field(1, ge=1)
    every: float = Field(0.05, gt=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        # The engine waits in the meantime, so an endless answer costs no memory.
        for at, data, tokens in steps:
            yield at, data[: self.bytes], tokens
            for start in range(self.bytes, len(data), self.bytes):
                yield response.now() + self.every, data[start : start + self.bytes], 0
            if data:
                yield response.now() + self.every, b"", 0
