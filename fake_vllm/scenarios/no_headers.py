from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, forever
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class NoHeaders(Scenario):
    """Accepts the request and works on it, but never sends a byte.

    Not even the response headers are sent.
    """

    def packets(self, steps: Steps, response: Response) -> Steps:
        for at, _, tokens in steps:
            yield at, b"", tokens
        yield from forever()
