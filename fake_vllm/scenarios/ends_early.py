import re
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.api import DONE
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps, before_token
from fake_vllm.scenarios.base import STRICT, Scenario

HALF = b'{"id":"'
CONTENT = re.compile(rb'"delta": ?\{[^{}]*\}|"text": ?"(?:[^"\\]|\\.)*"')
NO_REASON = re.compile(rb'("finish_reason": ?)null')


@dataclass(frozen=True, config=STRICT)
class EndsEarly(Scenario):
    """Sends `after` tokens (5), then ends the body as if it were complete.

    With `finish` (none; stop) and `done` (false) it invents an end, as some gateways do.
    """

    # LiteLLM 1.108.7 sends finish=stop,done=true if its upstream ended so without either.
    after: int = Field(5, ge=0)
    finish: Literal["none", "stop", "length"] = "none"
    done: bool = False

    def payloads(self, steps: Steps, response: Response) -> Steps:
        data, last = b"", b""
        for at, data, tokens in before_token(steps, self.after):
            last = data if data and tokens else last
            yield at, data, tokens
        if data:  # the answer ended before the fault
            return
        if not response.stream:
            response.length = len(HALF)
            yield response.now(), HALF, 0
            return
        if self.finish != "none" and NO_REASON.search(last):
            yield response.now(), self._finished(last), 0
        if self.done:
            yield response.now(), DONE, 0

    def _finished(self, event: bytes) -> bytes:
        """Return an event without content and with the invented reason."""
        empty = CONTENT.sub(lambda match: _without_content(match[0]), event)
        return NO_REASON.sub(rb'\1"%b"' % self.finish.encode(), empty)


def _without_content(field: bytes) -> bytes:
    return b'"text":""' if field.startswith(b'"text"') else b'"delta":{}'
