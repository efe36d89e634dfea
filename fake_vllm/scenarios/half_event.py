import asyncio

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class HalfEvent(Scenario):
    """Sends `after` tokens (5), then an event that never ends: one more byte of it every `every` seconds (0.1)."""

    name = "half_event"
    after: int = Field(5, ge=0)
    every: float = Field(0.1, gt=0)

    async def before_token(self, call: Call, index: int) -> None:
        if index < self.after:
            return
        await call.send(b'data: {"id":')
        while True:
            await asyncio.sleep(self.every)
            await call.send(b" ")
