from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps, forever


@dataclass(frozen=True, config=STRICT)
class Linger(Scenario):
    """Sends the whole stream with its `[DONE]`, but never ends the body; a whole answer lacks its last byte. The slot is free."""

    name = "linger"
    only_delivers = True

    def payloads(self, steps: Steps, call: Call) -> Steps:
        kept = b""
        for at, data, tokens in steps:
            if call.stream:
                yield at, data, tokens
            else:
                data = kept + data
                yield at, data[:-1], tokens
                kept = data[-1:]
        yield from forever()
