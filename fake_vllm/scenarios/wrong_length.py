import re

from pydantic.dataclasses import dataclass

from fake_vllm.scenarios.base import STRICT, Call, Scenario
from fake_vllm.steps import Steps

LENGTH = re.compile(rb"(content-length: )(\d+)(\r\n)")
CHUNK = re.compile(rb"^()([0-9a-f]+)(\r\n)")


@dataclass(frozen=True, config=STRICT)
class WrongLength(Scenario):
    """Announces `by` bytes (10) more than the body has, or fewer if negative; in a stream the first chunk's size is wrong by that much."""

    name = "wrong_length"
    only_delivers = True
    by: int = 10

    def packets(self, steps: Steps, call: Call) -> Steps:
        done = False
        for at, data, tokens in steps:
            if data and not done:
                data, found = (CHUNK if call.stream else LENGTH).subn(self._wrong, data, count=1)
                done = found > 0
            yield at, data, tokens

    def _wrong(self, found: re.Match[bytes]) -> bytes:
        base = 16 if found.re is CHUNK else 10
        size = max(0, int(found[2], base) + self.by)
        return found[1] + (b"%x" if base == 16 else b"%d") % size + found[3]
