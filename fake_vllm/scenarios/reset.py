from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Cut, Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class Reset(Scenario):
    """Sends `after` tokens (5), then resets the connection without an end of the body; 0: before any header."""

    name = "reset"
    after: int = Field(5, ge=0)

    async def before_answer(self, call: Call) -> None:
        if self.after == 0:
            raise Cut

    async def before_token(self, call: Call, index: int) -> None:
        if index >= self.after:
            raise Cut
