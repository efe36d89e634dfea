"""The base of all scenarios, and what they can do to a response."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, ConfigDict

from fake_vllm.api import error
from fake_vllm.engine.ledger import End
from fake_vllm.engine.timing import Pace
from fake_vllm.files import Files
from fake_vllm.http.exchange import Headers
from fake_vllm.http.upload import Upload
from fake_vllm.model import GenerationPlan
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token

if TYPE_CHECKING:
    from fake_vllm.relay.call import Answers

STRICT: Final = ConfigDict(extra="forbid", defer_build=True, allow_inf_nan=False)


def _given(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty; write one, or leave it out")
    return text


GivenText = Annotated[str, AfterValidator(_given)]
"""A text that is not blank."""


class ScenarioError(ValueError):
    """Raised when a scenario or a parameter is unknown; the text lists the known ones."""


class Failure(Exception):
    """Raised by a scenario to send an error in place of the rest.

    The error is an event if a stream has begun, or else a whole response. `events` are the events
    to send; without them, vLLM's usual two.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        end: End,
        param: str | None = None,
        headers: Headers = (),
        events: Sequence[bytes] = (),
    ) -> None:
        super().__init__(message)
        self.events = events
        self.status = status
        self.headers = headers
        self.body: dict[str, Any] = error(status, type, message, param)
        self.end: End = end


def engine_death(response: Response) -> Failure:
    """Return the error of a request during which the engine dies, in its version's words."""
    return Failure(500, "InternalServerError", response.release.death, end="failed")


class Cut(Exception):
    """Raised by a scenario to close the connection in the middle.

    It is closed with a FIN if `clean`, or else with a reset.
    """

    def __init__(self, *, clean: bool = False) -> None:
        super().__init__("cut")
        self.clean = clean


class Scenario:
    """One way to behave: a frozen dataclass of its parameters, with the hooks it needs.

    `fake-vllm scenarios` prints the docstring of a subclass on one line. An instance holds settings
    only, since it plays in many requests at once.

    Attributes:
        only_delivers: whether it leaves the text of the response alone. Named alone, it delivers
            what the server would have said anyway.
        reads_requests: whether a server that plays it reads from its connections.
        needs_model: whether it changes what the fake's own model says, or when.
    """

    only_delivers: ClassVar[bool] = False
    reads_requests: ClassVar[bool] = True
    needs_model: ClassVar[bool] = False

    def open(self, files: Files) -> None:
        """Read the files that it names, when its text is parsed.

        Raises:
            FileRefusedError: one may not be read.
            ValueError: one cannot be read; the text is one sentence.
        """

    @property
    def makes_text(self) -> bool:
        """Tell whether it needs the fake's own model, and so excludes --upstream."""
        return self.needs_model

    @property
    def answers(self) -> "Answers | None":
        """Return what answers in place of the fake's own model. None: the model does."""
        return None

    @property
    def upload(self) -> Upload | None:
        """Return how the body of the request is received. None: as usual."""
        return None

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        """Change what the engine will generate, before the request waits for a slot."""
        return plan

    def pace(self, pace: Pace) -> Pace:
        """Change the times that the engine takes."""
        return pace

    def before(self, response: Response) -> None:
        """Act before anything is sent and before the request waits for a slot.

        Raises:
            Failure: the client gets an error instead.
            Cut: the connection is closed instead.
        """

    def payloads(self, steps: Steps, response: Response) -> Steps:
        """Change what the response says.

        Each step with bytes is an event of a stream, or a part of a whole response's body.

        Raises:
            Failure: an error takes the place of the rest.
            Cut: the connection is closed.
        """
        return steps

    def packets(self, steps: Steps, response: Response) -> Steps:
        """Change the bytes on the wire, with head and chunk sizes.

        The first step with bytes begins with the whole head.

        Raises:
            Cut: the connection is closed.
        """
        return steps


class CutAfter(Scenario):
    """A cut of the connection after `after` tokens; for 0, before any header.

    Attributes:
        clean: whether the connection is closed with a FIN, or else with a reset.
        after: the number of tokens.
    """

    clean: ClassVar[bool]
    after: int

    def before(self, response: Response) -> None:
        if self.after == 0:
            raise Cut(clean=self.clean)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        raise Cut(clean=self.clean)


class Together(Scenario):
    """Several scenarios at once, whose hooks run in the order of their names."""

    def __init__(self, parts: Sequence[Scenario]) -> None:
        self.parts = parts

    @property
    def answers(self) -> "Answers | None":
        return next((part.answers for part in self.parts if part.answers is not None), None)

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        for part in self.parts:
            plan = part.shape(plan)
        return plan

    def pace(self, pace: Pace) -> Pace:
        for part in self.parts:
            pace = part.pace(pace)
        return pace

    def before(self, response: Response) -> None:
        for part in self.parts:
            part.before(response)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        for part in self.parts:
            steps = part.payloads(steps, response)
        return steps

    def packets(self, steps: Steps, response: Response) -> Steps:
        for part in self.parts:
            steps = part.packets(steps, response)
        return steps
