from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.api import DONE
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Scenario

HALF = b'{"id":"'


@dataclass(frozen=True, config=STRICT)
class EndsEarly(Scenario):
    """Sends `after` tokens (5), then ends the body as if it were complete.

    There is no `finish_reason`, and `[DONE]` only if `done` (false). A whole answer is cut.
    """

    after: int = Field(5, ge=0)
    done: bool = False

    def payloads(self, steps: Steps, response: Response) -> Steps:
        whole, data = False, b""
        for at, data, tokens in before_token(steps, self.after):
            whole = whole or bool(data and not response.stream)
            yield at, data, tokens
        if not (response.stream or whole):
            response.length = len(HALF)
            yield response.now(), HALF, 0
        elif self.done and response.stream and not data:
            yield response.now(), DONE, 0
