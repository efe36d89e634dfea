"""What the model says to one request: free text, or a text whose shape is set, such as JSON."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Literal

from fake_vllm import words
from fake_vllm.engine import Plan

CALL = "\x1e"  # begins each tool call in a draft; JSON has no such character, it would be escaped
_TOKEN = re.compile(rf"{CALL}| ?\w{{1,8}}|[^\w {CALL}]{{1,3}}| +|.", re.DOTALL)


@dataclass(frozen=True)
class Draft:
    """A text whose shape is set, with one place, between `head` and `tail`, where it can be drawn out.

    `filler` says with what: "words" where free text may stand, " " where JSON allows white space, "" (tokens without text) where a
    grammar leaves no room.
    """

    head: str
    tail: str = ""
    filler: Literal["words", " ", ""] = ""


@dataclass(frozen=True)
class Calling:
    """The tools that an answer calls, and why: the request named one, required some, or left it to the model."""

    names: tuple[str, ...]
    choice: Literal["named", "required", "auto"]


@dataclass(frozen=True)
class Script:
    """The model's lines. `draft`: None for free text. `calling`: None unless the draft holds the arguments of tool calls."""

    seed: str
    draft: Draft | None = None
    calling: Calling | None = None

    def tokens(self, plan: Plan) -> Iterator[str]:
        """Token after token, up to the place of the end token; without end if the plan has none.

        A grammar lets a model end only where the text is complete, so a draft is told to its end even if the plan is shorter. It is
        drawn out to the plan's length by words where it can be, else only if the plan goes on to the end of the context or for ever.
        """
        if self.draft is None:
            return islice(words.babble(self.seed), plan.eos_after)
        return _spell(self.draft, plan, self.seed)


def _spell(draft: Draft, plan: Plan, seed: str) -> Iterator[str]:
    head, tail = _TOKEN.findall(draft.head), _TOKEN.findall(draft.tail)
    yield from head
    if draft.filler == "words" or plan.runs_on:
        filler = islice(words.babble(seed), 1, None) if draft.filler == "words" else repeat(draft.filler)
        yield from islice(filler, None if plan.eos_after is None else max(0, plan.eos_after - len(head) - len(tail)))
    yield from tail
