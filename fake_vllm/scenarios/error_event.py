from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.api import DONE
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class ErrorEvent(Scenario):
    """Sends `after` tokens (5), then the error of a vLLM whose engine died.

    `message` is another text; without `done` (true), no `[DONE]` follows. A Response is cut.
    """

    # LiteLLM 1.108.7 ends so, without [DONE], if its upstream broke off.
    after: int = Field(5, ge=0)
    message: str | None = None
    done: bool = True

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        text = response.release.death if self.message is None else self.message
        failure = Failure(500, "InternalServerError", text, end="failed")
        if not self.done and (events := response.errors.error_events(failure.body)) is not None:
            failure.events = [event for event in events if event != DONE]
        raise failure
