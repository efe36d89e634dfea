from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class OutOfOrder(Scenario):
    """Swaps each pair of events after the first `after` tokens (5).

    The text arrives in the wrong order.
    """

    only_delivers = True
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        made, kept = 0, b""
        for at, data, tokens in steps:
            made += tokens
            if not (response.stream and data and tokens and made > self.after):
                yield at, kept + data, tokens
                kept = b""
            elif kept:
                yield at, data + kept, tokens
                kept = b""
            else:
                kept = data
                yield at, b"", tokens
        yield response.now(), kept, 0
