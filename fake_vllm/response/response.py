"""One response on its way, as the engine, the framing, the scenarios and the player share it."""

import asyncio

from fake_vllm.api import AcceptedRequest, ResponseWriter
from fake_vllm.engine.ledger import Entry
from fake_vllm.response.fast_path import FastPath


class Response:
    """What a scenario sees of the response it plays in, and may change.

    Attributes:
        stream: Whether it is sent event by event.
        model: The name of the model that it bears.
        entry: Its entry in the ledger.
        writer: Words its events, or its body.
        length: Bytes of the body of a whole response, as its head will say.
        status: The status of its head; None: no head has been made.
        aborted: Whether it ends before its next token.
        untouched: Whether no scenario changes its steps, so that a fast path can play them.
        fast_path: Plays the next tokens, from the next turn on; None: the steps do.
    """

    __slots__ = (
        "_loop",
        "aborted",
        "entry",
        "fast_path",
        "length",
        "model",
        "status",
        "stream",
        "untouched",
        "writer",
    )

    def __init__(
        self, request: AcceptedRequest, writer: ResponseWriter, entry: Entry, model: str
    ) -> None:
        self.stream = request.stream
        self.model = model
        self.entry = entry
        self.writer = writer
        self.length = 0
        self.status: int | None = None
        self.aborted = self.untouched = False
        self.fast_path: FastPath | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def attempt(self) -> int:
        """Which request with the same scenario text it answers, from 1."""
        return self.entry.attempt

    def now(self) -> float:
        """Return the loop's time in seconds, by which steps are timed."""
        return self._loop.time()

    def says(self, payload: bytes) -> bytes:
        """Return these bytes in a stream, else none: nothing may stand before a whole response."""
        return payload if self.stream else b""

    def abort(self) -> None:
        """End before the next token, with vLLM's `finish_reason` "abort"."""
        self.aborted = True

    def token(self, text: str) -> bytes:
        """Return the event of a stream that carries this text; none for a whole response."""
        return self.writer.text_event(text) if self.stream else b""
