from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps, forever


@dataclass(frozen=True, config=STRICT)
class NoHeaders(Scenario):
    """Accepts the request and works on it, but sends nothing, not even the response headers."""

    name = "no_headers"

    def packets(self, steps: Steps, call: Call) -> Steps:
        for at, _, tokens in steps:
            yield at, b"", tokens
        yield from forever()
