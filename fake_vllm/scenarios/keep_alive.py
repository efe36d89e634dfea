import asyncio

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import Call, Scenario

COMMENT = b": keep-alive\n\n"


@dataclass(frozen=True, config={"extra": "forbid"})
class KeepAlive(Scenario):
    """Sends `after` tokens (5), then only SSE comments, one every `every` seconds (0.1): bytes flow, the answer does not."""

    name = "keep_alive"
    after: int = Field(5, ge=0)
    every: float = Field(0.1, gt=0)

    async def before_token(self, call: Call, index: int) -> None:
        while index >= self.after:
            await call.send(COMMENT)
            await asyncio.sleep(self.every)
