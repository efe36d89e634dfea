"""The result of one decoding step for one sequence: a token and its text."""

from typing import Final, Literal, NamedTuple

from fake_vllm.model.vocabulary import BYTES, END, FIRST_WORD, SIZE, THINK, THINK_END

Finish = Literal["stop", "length", "repetition", "abort"]


class Piece(NamedTuple):
    """The result of one decoding step.

    Attributes:
        text: the text that may be shown now; stop strings hold text back.
        ids: the token id, or several ids after `merge`.
        finish: how the sequence ended. None: it goes on.
        stop: vLLM's `stop_reason`: the stop string or stop token id that ended the sequence, or
            "repetition_detected". None: none of them did.
    """

    text: str
    ids: tuple[int, ...]
    finish: Finish | None = None
    stop: str | int | None = None


def merge(earlier: Piece, later: Piece) -> Piece:
    """Join two steps into one event, as vLLM does when its client reads slowly."""
    return Piece(earlier.text + later.text, earlier.ids + later.ids, later.finish, later.stop)


_SHOWN = (THINK, THINK_END)
PLAIN: Final = [
    Piece(BYTES[id].decode("utf-8", "replace") if id >= FIRST_WORD or id in _SHOWN else "", (id,))
    for id in range(SIZE)
]
"""The piece of each token, made once. Bytes and special tokens have no text by themselves."""
FINISHED: Final = Piece("", (END,), "stop")
"""The end token, which counts and has no text."""
