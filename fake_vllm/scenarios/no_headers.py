from pydantic.dataclasses import dataclass

from fake_vllm.exchange import Carrier, Headers
from fake_vllm.scenarios.base import Relay, Scenario, forever


@dataclass(frozen=True, config={"extra": "forbid"})
class NoHeaders(Scenario):
    """Accepts the request and works on it, but sends nothing, not even the response headers."""

    name = "no_headers"

    def carry(self, carrier: Carrier) -> Carrier:
        return _Nowhere(carrier)


class _Nowhere(Relay):
    async def start(self, status: int, headers: Headers, every: float = 0.0) -> None:
        pass

    async def send(self, data: bytes) -> None:
        pass

    async def end(self) -> None:
        await forever()
