import asyncio

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.exchange import Carrier
from fake_vllm.scenarios.base import Relay, Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class Trickle(Scenario):
    """Sends the headers at once and the body `bytes` (1) at a time, one such piece every `every` seconds (0.05)."""

    name = "trickle"
    only_delivers = True
    bytes: int = Field(1, ge=1)
    every: float = Field(0.05, gt=0)

    def carry(self, carrier: Carrier) -> Carrier:
        return _Drops(carrier, self.bytes, self.every)


class _Drops(Relay):
    def __init__(self, onward: Carrier, size: int, every: float) -> None:
        super().__init__(onward)
        self._size = size
        self._every = every

    async def send(self, data: bytes) -> None:
        # The engine waits meanwhile, so an endless answer costs no memory.
        for at in range(0, len(data), self._size):
            await self.onward.send(data[at : at + self._size])
            await asyncio.sleep(self._every)
