from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Failure, Scenario

MESSAGE = "EngineCore encountered an issue. See stack trace (above) for the root cause."


@dataclass(frozen=True, config={"extra": "forbid"})
class ErrorEvent(Scenario):
    """Sends `after` tokens (5), then the error event of a vLLM whose engine died, and `[DONE]`; a whole answer is a 500."""

    name = "error_event"
    after: int = Field(5, ge=0)

    async def before_token(self, call: Call, index: int) -> None:
        if index >= self.after:
            raise Failure(500, "InternalServerError", MESSAGE, end="failed")
