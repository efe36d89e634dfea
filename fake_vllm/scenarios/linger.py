from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, forever
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Linger(Scenario):
    """Sends the whole stream with its `[DONE]`, but never ends the body.

    A whole answer lacks its last byte. The slot is free.
    """

    only_delivers = True

    def payloads(self, steps: Steps, response: Response) -> Steps:
        kept = b""
        for at, data, tokens in steps:
            if response.stream:
                yield at, data, tokens
            else:
                data = kept + data
                yield at, data[:-1], tokens
                kept = data[-1:]
        yield from forever()
