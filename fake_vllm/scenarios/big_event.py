import re
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

OPENING = re.compile(rb"data: ?\{")
BRACE = re.compile(rb"\{")


@dataclass(frozen=True, config=STRICT)
class BigEvent(Scenario):
    """Makes the event after `after` tokens (5) `bytes` bytes long (1000000), in one line.

    `part`, which makes it longer, is field (an unknown one) or space.
    """

    only_delivers = True
    after: int = Field(5, ge=0)
    bytes: int = Field(1_000_000, ge=1, le=100_000_000)
    part: Literal["field", "space"] = "field"

    def payloads(self, steps: Steps, response: Response) -> Steps:
        made, done = 0, False
        opening = OPENING if response.stream else BRACE
        for at, data, tokens in steps:
            made += tokens
            begun = made > self.after or not response.stream
            if begun and not done and (found := opening.search(data)):
                done, length = True, len(data)
                filling = _filling(self.part, self.bytes - length)
                data = data[: found.end()] + filling + data[found.end() :]
                response.length += 0 if response.stream else len(data) - length
            yield at, data, tokens


def _filling(part: str, size: int) -> bytes:
    if part == "space":
        return b" " * size
    return b'"padding":"%b",' % (b"x" * (size - len('"padding":"",')))
