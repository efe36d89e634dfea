from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, is_done
from fake_vllm.scenarios.base import STRICT, Scenario

LAST = (b"event: response.completed\n", b"event: message_stop\n")


@dataclass(frozen=True, config=STRICT)
class NoDone(Scenario):
    """Leaves out the last event; the body ends as it should.

    The last event is `[DONE]`, `response.completed` or `message_stop`.
    """

    only_delivers = True

    def payloads(self, steps: Steps, response: Response) -> Steps:
        for at, data, tokens in steps:
            yield at, b"" if is_done(data) or data.startswith(LAST) else data, tokens
