"""What a scenario may do to a request, and how it is written down: `stall:after=3`, or several as `endless+stall:after=3`."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Protocol

from fake_vllm import wire
from fake_vllm.engine import Plan
from fake_vllm.exchange import Carrier, Headers
from fake_vllm.ledger import End


class ScenarioError(ValueError):
    """Raised when a scenario's name or one of its parameters is not known; the text says which there are."""


class Failure(Exception):
    """Raised by a scenario: the client gets this error in place of the rest. An event where a stream has begun, else an answer."""

    def __init__(self, status: int, type: str, message: str, *, end: End, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = wire.error(status, type, message)
        self.end = end


class Cut(Exception):
    """Raised by a scenario: the connection is reset."""


class Call(Protocol):
    """What a scenario sees of the request it plays in."""

    @property
    def attempt(self) -> int:
        """Which request with this very scenario text it is, from 1."""

    def token(self, text: str) -> bytes:
        """The event of a stream that carries this text."""

    async def send(self, data: bytes) -> None:
        """Send raw bytes as one HTTP chunk, if the answer is a stream."""


class Scenario:
    """One way to behave. A subclass is a frozen dataclass: its name, its parameters as fields, and the hooks it needs.

    The first line of its docstring is what `fake-vllm scenarios` prints.
    """

    name: ClassVar[str]
    only_delivers: ClassVar[bool] = False
    """Leaves the answer itself alone. Named alone, it delivers what `finite` makes."""

    def shape(self, plan: Plan) -> Plan:
        """Change what the engine will make. Called once, before the request waits for a slot."""
        return plan

    def carry(self, carrier: Carrier) -> Carrier:
        """Put something between the answer and `carrier`, usually a `Relay`. Called once, before anything is sent."""
        return carrier

    async def before_answer(self, call: Call) -> None:
        """Called before anything is sent and before the request waits for a slot. May raise `Failure` or `Cut`."""

    async def before_token(self, call: Call, index: int) -> None:
        """Called when token `index` (from 0) has been made and before it is sent; the slot is held meanwhile.

        May raise `Failure` or `Cut`.
        """


class Together(Scenario):
    """Several scenarios at once; each hook runs in the order in which they were named, and bytes pass them in that order."""

    def __init__(self, parts: Sequence[Scenario]) -> None:
        self._parts = parts

    def shape(self, plan: Plan) -> Plan:
        for part in self._parts:
            plan = part.shape(plan)
        return plan

    def carry(self, carrier: Carrier) -> Carrier:
        for part in reversed(self._parts):
            carrier = part.carry(carrier)
        return carrier

    async def before_answer(self, call: Call) -> None:
        for part in self._parts:
            await part.before_answer(call)

    async def before_token(self, call: Call, index: int) -> None:
        for part in self._parts:
            await part.before_token(call, index)


class Relay:
    """Hands everything on to the next carrier; a scenario overrides what it wants otherwise."""

    def __init__(self, onward: Carrier) -> None:
        self.onward = onward

    async def start(self, status: int, headers: Headers, every: float = 0.0) -> None:
        await self.onward.start(status, headers, every)

    async def send(self, data: bytes) -> None:
        await self.onward.send(data)

    async def end(self) -> None:
        await self.onward.end()


async def forever() -> None:
    """Wait until cancelled, which happens when the client leaves or the server ends."""
    await asyncio.Event().wait()
