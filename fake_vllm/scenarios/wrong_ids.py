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
                other = b"%016x" % (2**64 - made)
                changed = ID.sub(lambda match, id=other: match[1] + id, data, count=1)  # type: ignore[misc]
                data = response.instead(data, changed)
            yield at, data, tokens
