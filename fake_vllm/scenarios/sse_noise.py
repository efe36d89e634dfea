import re

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.response.response import Response
from fake_vllm.response.steps import Steps
from fake_vllm.scenarios.base import STRICT, Scenario

BOM = b"\xef\xbb\xbf"
LINE_END = re.compile(rb"\r\n|\r|\n")
AFTER_A_COMMA = re.compile(rb',(?=")')


@dataclass(frozen=True, config=STRICT)
class SseNoise(Scenario):
    """Adds what Server-Sent Events allow and parsers must skip, such as a BOM.

    `bom`, `comments`, `fields`, `ids` (true), `retry` (3000), `tight`, `lines` (false).
    """

    only_delivers = True
    bom: bool = True
    comments: bool = True
    fields: bool = True
    ids: bool = True
    retry: int = Field(default=3000, ge=0)
    tight: bool = False
    lines: bool = False

    def payloads(self, steps: Steps, response: Response) -> Steps:
        events, begun = 0, not self.bom
        for at, data, tokens in steps:
            if data and response.stream:
                events += 1
                data = self._noisy(data, events)
                if not begun:
                    begun, data = True, BOM + data
            yield at, data, tokens

    def _noisy(self, event: bytes, number: int) -> bytes:
        before = [
            *([b": comment, with data: {} in it"] if self.comments else []),
            *([b"id: %d" % number] if self.ids else []),
            *([b"retry: %d" % self.retry] if self.retry and number == 1 else []),
            *([b"unknown: field", b"fieldwithoutcolon"] if self.fields else []),
        ]
        *own, _ = LINE_END.split(event)
        complete = own[-1:] == [b""]
        own = own[:-1] if complete else own
        lines = [line for each in own for line in self._data_lines(each)]
        comments = [b":"] if self.comments else []
        blank = [b""] if complete else []
        return b"".join(line + b"\n" for line in [*before, *lines, *comments, *blank])

    def _data_lines(self, line: bytes) -> list[bytes]:
        if not line.startswith(b"data:"):
            return [line]
        text = line[5:].removeprefix(b" ")
        parts = [text]
        # A line break between two members of an object is white space of JSON.
        if self.lines and text[:1] == b"{" and (comma := AFTER_A_COMMA.search(text)):
            parts = [text[: comma.end()], text[comma.end() :]]
        return [(b"data:" if self.tight else b"data: ") + part for part in parts]
