import re

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

ID = re.compile(rb'("id": ?"[a-z]+[-_])[^"]+')


@dataclass(frozen=True, config=STRICT)
class WrongIds(Scenario):
    """Gives each event after `after` tokens (5) its own id, counting down.

    It looks as if parts of several answers were mixed.
    """

    only_delivers = True
    after: int = Field(5, ge=0)

    def payloads(self, steps: Steps, response: Response) -> Steps:
        made = 0
        for at, data, tokens in steps:
            made += tokens
            if made > self.after:
                data = ID.sub(
                    lambda match, n=made: match[1] + b"%016x" % (2**64 - n),  # type: ignore[misc]
                    data,
                    count=1,
                )
            yield at, data, tokens
