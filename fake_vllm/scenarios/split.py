import re
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.model import GenerationPlan, Phrase
from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

WORDS = "déjà vu, 日本語 and 🙂 "
CUTS = {
    "byte": re.compile(rb"(?<=.)(?=.)", re.DOTALL),
    "character": re.compile(rb"(?<=[\xc0-\xff])"),
    "line": re.compile(rb"(?<=\r)(?=\n)"),
}


@dataclass(frozen=True, config=STRICT)
class Split(Scenario):
    """Splits packets in odd places, every `every` seconds (0.001).

    `at` is byte (each), character (inside a UTF-8 character) or line (between CR and LF).
    """

    only_delivers = True
    at: Literal["byte", "character", "line"] = "byte"
    every: float = Field(default=0.001, gt=0)

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        # The words have characters of two, three and four bytes.
        return replace(plan, source=Phrase(WORDS)) if self.at == "character" else plan

    def packets(self, steps: Steps, response: Response) -> Steps:
        where = CUTS[self.at]
        for at, data, tokens in steps:
            first, *rest = _cut(data, where)
            yield at, first, tokens
            for part in rest:
                yield response.now() + self.every, part, 0


def _cut(data: bytes, where: re.Pattern[bytes]) -> list[bytes]:
    places = [0, *(match.start() for match in where.finditer(data)), len(data)]
    return [data[begin:end] for begin, end in pairwise(places) if begin < end] or [b""]
