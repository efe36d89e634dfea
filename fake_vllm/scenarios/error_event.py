from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.engine.slots import ENGINE_DEAD
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class ErrorEvent(Scenario):
    """Sends `after` tokens (5), an error event, and `[DONE]`.

    A vLLM does that whose engine fails in a chat. A whole answer is a 500.
    """

    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        raise Failure(500, "InternalServerError", ENGINE_DEAD, end="failed")
