"""What a scenario may do to an answer."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Protocol

from pydantic import ConfigDict

from fake_vllm.api import error
from fake_vllm.connection import Headers
from fake_vllm.ledger import End
from fake_vllm.model import Plan
from fake_vllm.steps import Steps, before_token
from fake_vllm.timing import Pace

STRICT: Final = ConfigDict(extra="forbid", defer_build=True)


class ScenarioError(ValueError):
    """Raised when a scenario's name or one of its parameters is not known; the text says which there are."""


class Failure(Exception):
    """Raised by a scenario: the client gets this error in place of the rest. An event where a stream has begun, else an answer."""

    def __init__(
        self, status: int, type: str, message: str, *, end: End, param: str | None = None, headers: Headers = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body: dict[str, Any] = error(status, type, message, param)
        self.end: End = end


class Cut(Exception):
    """Raised by a scenario: the connection is closed in the middle, with a reset or, if `clean`, with a FIN."""

    def __init__(self, *, clean: bool = False) -> None:
        super().__init__("cut")
        self.clean = clean


class Call(Protocol):
    """What a scenario sees of the request it plays in."""

    stream: bool
    model: str
    length: int
    """Bytes of the body of a whole answer, as its head will say."""

    @property
    def attempt(self) -> int:
        """Which request with this very scenario text it is, from 1."""

    def now(self) -> float:
        """The loop's time in seconds, which steps are timed by."""

    def says(self, payload: bytes) -> bytes:
        """These bytes if the answer is a stream, else none: nothing may stand before a whole answer."""

    def abort(self) -> None:
        """End the answer before its next token, with vLLM's `finish_reason` "abort"."""

    def token(self, text: str) -> bytes:
        """The event of a stream that carries this text; none if the answer is no stream."""


class Scenario:
    """One way to behave. A subclass is a frozen dataclass: its name, its parameters as fields, and the hooks it needs.

    The first line of its docstring is what `fake-vllm scenarios` prints. The object holds settings only: it plays in many requests at once.
    """

    name: ClassVar[str]
    only_delivers: ClassVar[bool] = False
    """Leaves the answer itself alone. Named alone, it delivers what the server would have said anyway."""

    def shape(self, plan: Plan) -> Plan:
        """Change what the engine will make. Called once, before the request waits for a slot."""
        return plan

    def pace(self, pace: Pace) -> Pace:
        """Change the times that the engine takes."""
        return pace

    def before(self, call: Call) -> None:
        """Called before anything is sent and before the request waits for a slot. May raise `Failure` or `Cut`."""

    def payloads(self, steps: Steps, call: Call) -> Steps:
        """Change what the answer says. Each step with bytes is an event of a stream, or a part of a whole answer's body.

        May raise `Failure` or `Cut`.
        """
        return steps

    def packets(self, steps: Steps, call: Call) -> Steps:
        """Change the bytes on the wire, head and chunk sizes included. The first step with bytes begins with the whole head.

        May raise `Cut`.
        """
        return steps


class CutAfter(Scenario):
    """What cuts have in common: `after` tokens are sent, and for 0 not even a header. `clean`: with a FIN, else with a reset."""

    clean: ClassVar[bool]
    after: int

    def before(self, call: Call) -> None:
        if self.after == 0:
            raise Cut(clean=self.clean)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        yield from before_token(steps, self.after)
        raise Cut(clean=self.clean)


class Together(Scenario):
    """Several scenarios at once; each hook runs in the order in which they were named, and bytes pass them in that order."""

    def __init__(self, parts: Sequence[Scenario]) -> None:
        self.parts = parts

    def shape(self, plan: Plan) -> Plan:
        for part in self.parts:
            plan = part.shape(plan)
        return plan

    def pace(self, pace: Pace) -> Pace:
        for part in self.parts:
            pace = part.pace(pace)
        return pace

    def before(self, call: Call) -> None:
        for part in self.parts:
            part.before(call)

    def payloads(self, steps: Steps, call: Call) -> Steps:
        for part in self.parts:
            steps = part.payloads(steps, call)
        return steps

    def packets(self, steps: Steps, call: Call) -> Steps:
        for part in self.parts:
            steps = part.packets(steps, call)
        return steps
