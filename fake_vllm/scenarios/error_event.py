from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.api import error_event
from fake_vllm.engine.slots import ENGINE_DEAD
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class ErrorEvent(Scenario):
    """Sends `after` tokens (5), an error event, and `[DONE]` if `done` (true).

    A vLLM whose engine fails has one, and LiteLLM none. A whole answer is a 500.
    """

    # LiteLLM 1.108.7 ends so, without [DONE], if its upstream broke off.
    after: int = Field(5, ge=0)
    done: bool = True

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        failure = Failure(500, "InternalServerError", ENGINE_DEAD, end="failed")
        if not self.done:
            failure.events = [error_event(failure.body)]
        raise failure
