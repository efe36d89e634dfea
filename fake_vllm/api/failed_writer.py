"""The stream of a request that the engine refuses: an error event under status 200."""

from collections.abc import Iterator, Sequence
from typing import Any

from fake_vllm.model.text_piece import Piece


class FailedWriter:
    """The writer of a stream that only has these events.

    It has no sequences, so that the whole stream is its end.
    """

    def __init__(self, events: Sequence[bytes]) -> None:
        self.sequences: list[Iterator[Piece]] = []
        self._events = [*events]

    def begin(self) -> list[bytes]:
        return []

    def event(self, index: int, piece: Piece) -> bytes:
        raise IndexError(index)

    def frame(self, index: int) -> None:
        raise IndexError(index)

    def count(self, index: int, tokens: int) -> None:
        raise IndexError(index)

    def end(self) -> list[bytes]:
        return self._events

    def before_error(self) -> list[bytes]:
        return []

    def text_event(self, text: str) -> bytes:
        return b""

    def collect(self, index: int, piece: Piece) -> None:
        raise IndexError(index)

    def answer(self) -> dict[str, Any]:
        raise NotImplementedError("Only a stream is accepted with a failure in it.")
