from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Burst(Scenario):
    """Holds back `tokens` events (50) and sends them as one packet.

    A buffering proxy does that; the pace stays the same.
    """

    only_delivers = True
    tokens: int = Field(50, ge=1)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        kept: list[bytes] = []
        for at, data, tokens in steps:
            if data:
                kept.append(data)
            full = len(kept) >= self.tokens
            yield at, b"".join(kept) if full else b"", tokens
            if full:
                kept.clear()
        yield response.now(), b"".join(kept), 0
