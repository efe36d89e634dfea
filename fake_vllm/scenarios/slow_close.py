from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Cut, Scenario


@dataclass(frozen=True, config=STRICT)
class SlowClose(Scenario):
    """Announces `connection: close`, and closes (FIN) only `seconds` (2) after the last byte."""

    only_delivers = True
    seconds: float = Field(2.0, ge=0)

    def before(self, response: Response) -> None:
        response.exchange.close_afterwards()

    def packets(self, steps: Steps, response: Response) -> Steps:
        yield from steps
        if response.entry.end == "running":
            response.entry.end = "finished"
        yield response.now() + self.seconds, b"", 0
        raise Cut(clean=True)
