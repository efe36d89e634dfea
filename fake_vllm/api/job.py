"""What one accepted request is, and what its answer is written with; the shapes are in `chat`, `completions` and `responses`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from fake_vllm.model.piece import Piece
from fake_vllm.model.plan import Plan


class Job(Protocol):
    """Writes one answer. It is used once.

    A streamed answer is `begin`, an `event` for each piece, `end`; a whole one is `collect` for each piece, `answer`.
    """

    sequences: list[Iterator[Piece]]
    """One per choice; each ends after the piece with a finish. None at all if the stream is an error: then `end` says all there is."""

    def begin(self) -> list[bytes]:
        """The events before the first token; they are sent together with the first token's."""

    def event(self, index: int, piece: Piece) -> bytes:
        """The event for a piece of choice `index`; b"" if nothing is to be sent now."""

    def frame(self, index: int) -> tuple[bytes, bytes] | None:
        """What stands before and after the text, `quoted`, in each event of choice `index` that has a text and no finish.

        None: the events differ in more than that, or none has been written yet. Who writes events in this frame counts them.
        """

    def count(self, index: int, tokens: int) -> None:
        """So many tokens of choice `index` were written without `event`."""

    def end(self) -> list[bytes]:
        """The events after all choices have finished."""

    def text_event(self, text: str) -> bytes:
        """An event like a token's, for a scenario, in choice 0. It counts as no token."""

    def collect(self, index: int, piece: Piece) -> None:
        """Keep a piece of choice `index` for the whole answer."""

    def answer(self) -> dict[str, Any]:
        """The whole answer, of what was collected."""


class Asked(Protocol):
    """One accepted request."""

    @property
    def id(self) -> str:
        """The answer's id, made from what the client gave, or 16 random hexadecimal digits."""

    @property
    def stream(self) -> bool: ...

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts together."""

    @property
    def prompt_ids(self) -> list[list[int]]:
        """What each of the sequences goes on from, in their order."""

    @property
    def choices(self) -> int:
        """How many sequences run: prompts times `n`; 0 if the answer is a stream that holds only an error."""

    @property
    def max_tokens(self) -> int | None:
        """What the request asks for at most, in tokens; None: nothing."""

    @property
    def n(self) -> int: ...

    @property
    def scenario(self) -> str | None:
        """The body's field `fake_scenario`."""

    def plan(self) -> Plan:
        """What a healthy server would make of it."""

    def job(self, plan: Plan) -> Job:
        """Begin the answer.

        Raises:
            Refused: a schema is one that no sample can be made for.
        """


@dataclass
class Told:
    """What was collected of one choice for a whole answer."""

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
