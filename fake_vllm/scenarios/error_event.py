from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Failure, Scenario

MESSAGE = "EngineCore encountered an issue. See stack trace (above) for the root cause."


@dataclass(frozen=True, config=STRICT)
class ErrorEvent(Scenario):
    """Sends `after` tokens (5), then the error of a vLLM whose engine died.

    A stream of `/v1/responses` is cut instead; a whole answer is a 500.
    """

    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        raise Failure(500, "InternalServerError", MESSAGE, end="failed")
