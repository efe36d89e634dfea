"""The shape of a rule, and of a place where it applies."""

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stream_lab.lint.module import Module


@dataclass(frozen=True)
class Hit:
    """A place where a rule applies.

    Attributes:
        node: the node to point at.
        it: what stands there, as the sentence of the rule says it.
        note: one more sentence about this place. Empty: the rule's sentence says it all.
    """

    node: ast.expr | ast.stmt
    it: str = ""
    note: str = ""


@dataclass(frozen=True)
class Rule:
    """A trap in code, and how to find it.

    Attributes:
        id: the name that is printed, and that silences the rule in a comment.
        says: one sentence that says what happens; "{it}" is what stands in the code.
        example: an `it` for the documentation.
        remedy: what to do about it.
        reason: how this is known, for readers who doubt it.
        words: a file whose text has none of these is skipped.
        more_words: likewise, if there are any.
        look: finds the places in one module. None: `across` finds them.
        across: finds the places in all modules that have one of the words, for traps that span
            several files.
        in_tests: whether the rule applies to tests. False: the trap does no harm where no other
            client waits.
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
    more_words: tuple[str, ...] = ()

    def may_apply(self, text: str) -> bool:
        """Tell whether a file with this text can have a finding of this rule."""
        return any(word in text for word in self.words) and (
            not self.more_words or any(word in text for word in self.more_words)
        )
