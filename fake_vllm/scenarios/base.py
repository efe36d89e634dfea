"""What a scenario may do to a request, and how it is written down: `stall:after=3`, or several as `endless+stall:after=3`."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Protocol

from fake_vllm.engine import Plan


class ScenarioError(ValueError):
    """Raised when a scenario's name or one of its parameters is not known; the text says which there are."""


class Call(Protocol):
    """What a scenario sees of the request it plays in."""

    async def send(self, data: bytes) -> None:
        """Send raw bytes as one HTTP chunk."""


class Scenario:
    """One way to behave. A subclass is a frozen dataclass: its name, its parameters as fields, and the hooks it needs.

    The first line of its docstring is what `fake-vllm scenarios` prints.
    """

    name: ClassVar[str]
    withholds_headers: ClassVar[bool] = False

    def shape(self, plan: Plan) -> Plan:
        """Change what the engine will make. Called once, before the request waits for a slot."""
        return plan

    async def before_token(self, call: Call, index: int) -> None:
        """Called when token `index` (from 0) has been made and before it is sent; the slot is held meanwhile."""


class Together(Scenario):
    """Several scenarios at once; each hook runs in the order in which they were named."""

    def __init__(self, parts: Sequence[Scenario]) -> None:
        self._parts = parts
        self.withholds_headers = any(part.withholds_headers for part in parts)  # type: ignore[misc]

    def shape(self, plan: Plan) -> Plan:
        for part in self._parts:
            plan = part.shape(plan)
        return plan

    async def before_token(self, call: Call, index: int) -> None:
        for part in self._parts:
            await part.before_token(call, index)


async def forever() -> None:
    """Wait until cancelled, which happens when the client leaves or the server ends."""
    await asyncio.Event().wait()
