import re

from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, config=STRICT)
class Crlf(Scenario):
    """Ends the lines of events with CR LF.

    Server-Sent Events allow that, and vLLM never does it.
    """

    only_delivers = True

    def payloads(self, steps: Steps, response: Response) -> Steps:
        for at, data, tokens in steps:
            yield at, LINE_END.sub(b"\r\n", data) if response.stream else data, tokens
