from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Abort(Scenario):
    """Sends `after` tokens (5), then ends with `finish_reason` "abort".

    A vLLM that is being stopped does that. A whole answer has that part.
    """

    needs_model = True
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        yield from before_token(steps, self.after)
        response.abort()
        yield from steps
