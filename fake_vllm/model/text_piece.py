"""What one decoding step made of one sequence."""

from typing import Final, Literal, NamedTuple

from fake_vllm.model.vocabulary import BYTES, END, FIRST_WORD, SIZE

Finish = Literal["stop", "length", "repetition", "abort"]


class Piece(NamedTuple):
    """One decoding step's text and token.

    `text`: as far as it may be shown now; stop strings hold back. `ids`: normally one token id; several after `merge`.
    `finish`: how the sequence ended if this was its last step, else None. `stop`: vLLM's `stop_reason`: the stop string or the stop
    token id that ended it, or "repetition_detected", else None.
    """

    text: str
    ids: tuple[int, ...]
    finish: Finish | None = None
    stop: str | int | None = None


def merge(earlier: Piece, later: Piece) -> Piece:
    """Two steps as one event shows them: a reader that lags gets several tokens at once."""
    return Piece(earlier.text + later.text, earlier.ids + later.ids, later.finish, later.stop)


PLAIN: Final = [
    Piece(BYTES[id].decode("utf-8", "replace") if id >= FIRST_WORD else "", (id,))
    for id in range(SIZE)
]
"""The piece of each token of the vocabulary, made once. Bytes and special tokens show no text of their own here."""
FINISHED: Final = Piece("", (END,), "stop")
"""The end token: it counts, and carries no text."""
