"""What the model says: free text, or text in a prescribed form, such as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Literal

from fake_vllm.model import tokenizer
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.text_piece import PLAIN, Piece
from fake_vllm.model.vocabulary import PAD, THINK, THINK_END


@dataclass(frozen=True)
class Draft:
    """A text in a prescribed form, which can be extended at one place.

    Attributes:
        head: the text before that place.
        tail: the text after it.
        filler: what can be added: "words" where free text may stand, " " where JSON allows white
            space, "" (tokens without text) where a grammar leaves no room.
    """

    head: str
    tail: str = ""
    filler: Literal["words", " ", ""] = ""


@dataclass(frozen=True)
class Script:
    """What the model says to one prompt.

    Attributes:
        seed: the seed of the free text.
        prompt: the text that the model answers.
        draft: the text in a prescribed form. None: free text.
    """

    seed: str
    prompt: str
    draft: Draft | None = None

    def pieces(self, plan: GenerationPlan) -> Iterator[Piece]:
        """Yield the tokens up to the end token; endless if the plan has none.

        A grammar lets a model end only where the text is complete, so a draft runs to its end even
        if the plan is shorter. To reach the plan's length it is extended by words, if it allows
        them. Otherwise it is extended only if the plan runs to the end of the context, or for ever.
        """
        answer = (
            plan.free_text(self.seed, self.prompt)
            if self.draft is None
            else self._spell(self.draft, plan)
        )
        if plan.thought is not None:
            thought = plan.thought.pieces(self.seed, self.prompt, endless=False)
            answer = chain(thought, answer)
        return answer if plan.most_thinking is None else _bounded(answer, plan.most_thinking)

    def _spell(self, draft: Draft, plan: GenerationPlan) -> Iterator[Piece]:
        text = tokenizer.Incremental().text
        head, tail = tokenizer.encode(draft.head), tokenizer.encode(draft.tail)
        yield from (Piece(text(id), (id,)) for id in head)
        if draft.filler == "words" or plan.runs_on:
            room = (
                None if plan.eos_after is None else max(0, plan.eos_after - len(head) - len(tail))
            )
            yield from islice(self._filler(draft, plan), room)
        yield from (Piece(text(id), (id,)) for id in tail)

    def _filler(self, draft: Draft, plan: GenerationPlan) -> Iterator[Piece]:
        if draft.filler == "words":
            return islice(plan.source.pieces(self.seed, self.prompt, endless=True), 1, None)
        return repeat(PLAIN[PAD]._replace(text=draft.filler))


def _bounded(pieces: Iterator[Piece], most: int) -> Iterator[Piece]:
    """Yield pieces, with the end of the thought in place of its token after `most`."""
    made = 0
    for piece in pieces:
        if piece.ids == (THINK_END,):
            yield piece
            break
        if made == most and piece.ids != (THINK,):
            yield PLAIN[THINK_END]
            break
        made += piece.ids != (THINK,)
        yield piece
    yield from pieces
