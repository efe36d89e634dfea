from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Buffer(Scenario):
    """Holds bytes back as a proxy with a buffer of `bytes` (4096) does.

    It sends them when the buffer is full, and at the end.
    """

    only_delivers = True
    bytes: int = Field(4096, ge=1)

    def packets(self, steps: Steps, response: Response) -> Steps:
        kept = b""
        for at, data, tokens in steps:
            kept += data
            full = len(kept) - len(kept) % self.bytes
            yield at, kept[:full], tokens
            kept = kept[full:]
        yield response.now(), kept, 0
