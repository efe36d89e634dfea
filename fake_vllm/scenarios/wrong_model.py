import re

from pydantic.dataclasses import dataclass

from fake_vllm.api import dumps
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, GivenText, Scenario

MODEL = re.compile(rb'("model": ?)"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, config=STRICT)
class WrongModel(Scenario):
    """Names another model in its answer, `model` ("another-model").

    A gateway that routes to the wrong model does that.
    """

    only_delivers = True
    model: GivenText = "another-model"

    def payloads(self, steps: Steps, response: Response) -> Steps:
        other = dumps(self.model)
        for at, data, tokens in steps:
            changed = MODEL.sub(lambda match: match[1] + other, data, count=1)
            yield at, response.instead(data, changed), tokens
