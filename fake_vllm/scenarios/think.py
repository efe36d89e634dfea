import json
import re
from dataclasses import replace
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.api import dumps
from fake_vllm.model import GenerationPlan, Thought
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

# An empty text is the beginning or the end of an answer, and not reasoning.
DELTA = re.compile(rb'"delta":\{"content":("(?:[^"\\]|\\.)+")')
MESSAGE = re.compile(rb'"content":("(?:[^"\\]|\\.)+")(,"refusal":.*?)"reasoning":null', re.DOTALL)
GIVEN = re.compile(rb'"reasoning":("(?:[^"\\]|\\.)*"|null)')
WORD = re.compile(r"\s*\S+|\s+")  # about a token; a whole answer does not show its tokens


@dataclass(frozen=True, config=STRICT)
class Think(Scenario):
    """Sends the first `tokens` tokens (30) of a chat as reasoning.

    `field` is reasoning, reasoning_content (as older servers) or both.
    """

    only_delivers = True
    needs_model = True
    tokens: int = Field(30, ge=0)
    field: Literal["reasoning", "reasoning_content", "both"] = "reasoning"

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        return replace(plan, thought=Thought(self.tokens)) if plan.reasons else plan

    def payloads(self, steps: Steps, response: Response) -> Steps:
        if response.reasons:
            yield from self._renamed(steps, response)
            return
        made = 0
        for at, data, tokens in steps:
            made += tokens
            if not response.stream:
                changed = MESSAGE.sub(self._in_message, data)
                response.length += len(changed) - len(data)
                data = changed
            elif tokens and made <= self.tokens:
                data = DELTA.sub(lambda match: b'"delta":{' + self._thought(match[1]), data)
            yield at, data, tokens

    def _renamed(self, steps: Steps, response: Response) -> Steps:
        """Yield an answer that has a thought already, under the names of `field`."""
        if self.field == "reasoning" or "/chat/" not in response.entry.path:
            yield from steps
            return
        for at, data, tokens in steps:
            changed = GIVEN.sub(lambda match: self._thought(match[1]), data)
            if not response.stream:
                response.length += len(changed) - len(data)
            yield at, changed, tokens

    def _in_message(self, match: re.Match[bytes]) -> bytes:
        words = WORD.findall(json.loads(match[1]))
        thought, said = ("".join(part) for part in (words[: self.tokens], words[self.tokens :]))
        return (
            b'"content":' + dumps(said or None) + match[2] + self._thought(dumps(thought or None))
        )

    def _thought(self, text: bytes) -> bytes:
        names = ("reasoning", "reasoning_content") if self.field == "both" else (self.field,)
        return b",".join(b'"%b":%b' % (name.encode(), text) for name in names)
