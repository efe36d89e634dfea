from pydantic.dataclasses import dataclass

from fake_vllm.exchange import Carrier, Headers
from fake_vllm.scenarios.base import Relay, Scenario, forever


@dataclass(frozen=True, config={"extra": "forbid"})
class Linger(Scenario):
    """Sends the whole stream with its `[DONE]`, but never ends the body; a whole answer lacks its last byte. The slot is free."""

    name = "linger"
    only_delivers = True

    def carry(self, carrier: Carrier) -> Carrier:
        return _NoEnd(carrier)


class _NoEnd(Relay):
    async def start(self, status: int, headers: Headers, every: float = 0.0) -> None:
        self._keep = 1 if any(name == b"content-length" for name, _ in headers) else 0
        self._kept = b""
        await self.onward.start(status, headers, every)

    async def send(self, data: bytes) -> None:
        data = self._kept + data
        cut = len(data) - self._keep
        self._kept = data[cut:]
        await self.onward.send(data[:cut])

    async def end(self) -> None:
        await forever()
