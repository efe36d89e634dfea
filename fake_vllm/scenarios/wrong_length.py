import re

from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

LENGTH = re.compile(rb"(content-length: )(\d+)(\r\n)")
CHUNK = re.compile(rb"^()([0-9a-f]+)(\r\n)")


@dataclass(frozen=True, config=STRICT)
class WrongLength(Scenario):
    """Declares `by` bytes (10) more than the body has, or fewer if negative.

    In a stream, the size of the first chunk is wrong by that much.
    """

    only_delivers = True
    by: int = 10

    def packets(self, steps: Steps, response: Response) -> Steps:
        done = False
        for at, data, tokens in steps:
            if data and not done:
                data, count = (CHUNK if response.stream else LENGTH).subn(
                    self._wrong, data, count=1
                )
                done = count > 0
            yield at, data, tokens

    def _wrong(self, match: re.Match[bytes]) -> bytes:
        base = 16 if match.re is CHUNK else 10
        size = max(0, int(match[2], base) + self.by)
        return match[1] + (b"%x" if base == 16 else b"%d") % size + match[3]
