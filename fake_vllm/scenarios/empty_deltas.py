import asyncio

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class EmptyDeltas(Scenario):
    """Sends `after` tokens (5), then only events that say nothing (`"content":""`), one every `every` seconds (0.1)."""

    name = "empty_deltas"
    after: int = Field(5, ge=0)
    every: float = Field(0.1, gt=0)

    async def before_token(self, call: Call, index: int) -> None:
        while index >= self.after:
            await call.send(call.token(""))
            await asyncio.sleep(self.every)
