from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Scenario, forever


@dataclass(frozen=True, config={"extra": "forbid"})
class Stall(Scenario):
    """Sends `after` tokens (5), then nothing more: the connection stays open and silent, the slot is held."""

    name = "stall"
    after: int = Field(5, ge=0)

    async def before_token(self, call: Call, index: int) -> None:
        if index >= self.after:
            await forever()
