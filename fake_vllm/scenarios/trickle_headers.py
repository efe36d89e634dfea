import asyncio

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.exchange import Carrier, Headers
from fake_vllm.scenarios.base import Relay, Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class TrickleHeaders(Scenario):
    """Sends status line and headers one byte every `every` seconds (0.05), then the body as usual; the engine works meanwhile."""

    name = "trickle_headers"
    only_delivers = True
    every: float = Field(0.05, gt=0)

    def carry(self, carrier: Carrier) -> Carrier:
        return _SlowHead(carrier, self.every)


class _SlowHead(Relay):
    def __init__(self, onward: Carrier, every: float) -> None:
        super().__init__(onward)
        self._every = every

    async def start(self, status: int, headers: Headers, every: float = 0.0) -> None:
        # Not awaited here: the request takes its slot while its headers are on their way.
        self._head = asyncio.create_task(self._start(status, headers))

    async def _start(self, status: int, headers: Headers) -> None:
        await self.onward.start(status, headers, self._every)

    async def send(self, data: bytes) -> None:
        await self._head
        await self.onward.send(data)

    async def end(self) -> None:
        await self._head
        await self.onward.end()
