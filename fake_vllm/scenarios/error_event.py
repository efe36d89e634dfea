from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class ErrorEvent(Scenario):
    """Sends `after` tokens (5), then the error of a vLLM whose engine died.

    It cuts streams of `/v1/responses`; a whole answer is a 500. `message` is another text.
    """

    after: int = Field(5, ge=0)
    message: str | None = None

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        text = response.release.death if self.message is None else self.message
        raise Failure(500, "InternalServerError", text, end="failed")
