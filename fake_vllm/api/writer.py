"""The interface of a writer of one answer; each endpoint has its own writer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from fake_vllm.model.text_piece import Piece


class ResponseWriter(Protocol):
    """A writer of one answer, for one use.

    A streamed answer is `begin`, an `event` for each piece, and `end`. A whole answer is `collect`
    for each piece, and `answer`.

    Attributes:
        sequences: an iterator for each choice, which ends after the piece with a finish. Empty: the
            stream is an error, which `end` returns.
    """

    sequences: list[Iterator[Piece]]

    def begin(self) -> list[bytes]:
        """Return the events before the first token, which are sent together with it."""

    def event(self, index: int, piece: Piece) -> bytes:
        """Return the event for a piece of choice `index`; b"": nothing to send now."""

    def frame(self, index: int) -> tuple[bytes, bytes] | None:
        """Return the bytes before and after the text in each plain event of choice `index`.

        A plain event has a text, `quoted`, and no finish. None: events differ in more than the
        text, or none has been written yet. A caller that writes events in this frame reports them
        with `count`.
        """

    def count(self, index: int, tokens: int) -> None:
        """Count tokens of choice `index` that were written without `event`."""

    def end(self) -> list[bytes]:
        """Return the events after all choices have finished."""

    def before_error(self) -> list[bytes]:
        """Return the events that come before an error in the stream."""

    def text_event(self, text: str) -> bytes:
        """Return an event like a token's in choice 0; it counts as no token."""

    def collect(self, index: int, piece: Piece) -> None:
        """Keep a piece of choice `index` for the whole answer."""

    def answer(self) -> dict[str, Any]:
        """Return the whole answer, from the collected pieces."""


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
