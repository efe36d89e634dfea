from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps


@dataclass(frozen=True, config=STRICT)
class Crlf(Scenario):
    """Ends the lines of the events with CR LF, which Server-Sent Events allow and vLLM never does."""

    name = "crlf"
    only_delivers = True

    def payloads(self, steps: Steps, call: Call) -> Steps:
        for at, data, tokens in steps:
            yield at, data.replace(b"\n", b"\r\n") if call.stream else data, tokens
