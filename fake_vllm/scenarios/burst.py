from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.exchange import Carrier
from fake_vllm.scenarios.base import Relay, Scenario


@dataclass(frozen=True, config={"extra": "forbid"})
class Burst(Scenario):
    """Keeps back `tokens` events (50) and hands them over as one packet, as a proxy that buffers; the pace stays the same."""

    name = "burst"
    only_delivers = True
    tokens: int = Field(50, ge=1)

    def carry(self, carrier: Carrier) -> Carrier:
        return _Packets(carrier, self.tokens)


class _Packets(Relay):
    def __init__(self, onward: Carrier, size: int) -> None:
        super().__init__(onward)
        self._size = size
        self._kept: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self._kept.append(data)
        if len(self._kept) >= self._size:
            await self._flush()

    async def end(self) -> None:
        await self._flush()
        await self.onward.end()

    async def _flush(self) -> None:
        if self._kept:
            packet, self._kept = b"".join(self._kept), []
            await self.onward.send(packet)
