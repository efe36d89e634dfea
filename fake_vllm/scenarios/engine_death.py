from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class EngineDeath(Scenario):
    """Sends `after` tokens (5), then the engine dies for all requests, and the process ends.

    Without `exit` (true) the process stays, until `POST /reset` revives it.
    """

    only_delivers = True
    needs_model = True
    after: int = Field(5, ge=0)
    exit: bool = True

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        response.server.engine_died(exits=self.exit)
        yield from steps  # the engine has its last words
