"""What writes one answer; the shapes are in `chat_writer`, `completions_writer` and `responses_writer`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from fake_vllm.model.piece import Piece


class ResponseWriter(Protocol):
    """Writes one answer. It is used once.

    A streamed answer is `begin`, an `event` for each piece, `end`; a whole one is `collect` for each piece, `answer`.
    """

    sequences: list[Iterator[Piece]]
    """One per choice; each ends after the piece with a finish. There is none if the stream is an error: then `end` says it all."""

    def begin(self) -> list[bytes]:
        """Return the events before the first token; they are sent together with the first token's."""

    def event(self, index: int, piece: Piece) -> bytes:
        """Return the event for a piece of choice `index`; b"" if nothing is to be sent now."""

    def frame(self, index: int) -> tuple[bytes, bytes] | None:
        """Return what is before and after the text, `quoted`, in each plain event of choice `index`.

        A plain event has a text and no finish. None: they differ in more than the text, or none has been written yet. Events that the caller writes in this frame, it
        reports with `count`.
        """

    def count(self, index: int, tokens: int) -> None:
        """Count tokens of choice `index` that were written without `event`."""

    def end(self) -> list[bytes]:
        """Return the events after all choices have finished."""

    def text_event(self, text: str) -> bytes:
        """Return an event like a token's, for a scenario, in choice 0. It counts as no token."""

    def collect(self, index: int, piece: Piece) -> None:
        """Keep a piece of choice `index` for the whole answer."""

    def answer(self) -> dict[str, Any]:
        """Return the whole answer, made of the collected pieces."""


@dataclass
class CollectedChoice:
    """The pieces of one choice, collected for a whole answer."""

    texts: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    last: Piece = Piece("", (), "length")  # noqa: RUF009

    def add(self, piece: Piece) -> None:
        self.texts.append(piece.text)
        self.ids += piece.ids
        self.last = piece

    @property
    def text(self) -> str:
        return "".join(self.texts)
