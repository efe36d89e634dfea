"""What a rule is."""

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stream_lab.lint.module import Module


@dataclass(frozen=True)
class Hit:
    """A place that a rule has found. `it`: what stands there, in the sentence of the rule."""

    node: ast.expr | ast.stmt
    it: str = ""


@dataclass(frozen=True)
class Rule:
    """A trap.

    Attributes:
        id: as it is printed, and silenced.
        says: one sentence, what happens; "{it}" is what stands in the code.
        example: an `it` for the documentation.
        remedy: what to do.
        reason: how this is known, for readers who doubt it.
        words: a file that has none of these in its text is not looked at.
        look: finds the places in one module. None: `across` does it.
        across: finds them in all modules that have one of the words, for what stands in several files.
        in_tests: whether it speaks of tests too; False: the trap does no harm where no other caller waits.
    """

    id: str
    says: str
    example: str
    remedy: str
    reason: str
    words: tuple[str, ...]
    look: Callable[[Module], Iterable[Hit]] | None = None
    across: Callable[[Sequence[Module]], Iterable[tuple[Module, Hit]]] | None = None
    in_tests: bool = True
