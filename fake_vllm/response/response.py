"""One response, as the engine, the framing, the scenarios and the player share it."""

import asyncio

from fake_vllm.api import AcceptedRequest, ResponseWriter
from fake_vllm.engine.ledger import Entry
from fake_vllm.response.fast_path import FastPath


class Response:
    """A response, as a scenario sees it and may change it.

    Attributes:
        stream: whether it is sent event by event.
        model: the name of the model in it.
        entry: its entry in the ledger.
        writer: writes its events, or its body.
        length: the bytes of a whole response's body, for its head.
        release: the version of vLLM.
        status: the status of its head. None: there is no head yet.
        reasons: whether thoughts are separate from the answer, as with --reasoning-parser.
        aborted: whether it ends before its next token.
        untouched: whether no scenario changes its steps, so that a fast path can play them.
        fast_path: plays the next tokens, from the next turn on. None: the steps do.
    """

    __slots__ = (
        "_loop",
        "aborted",
        "entry",
        "fast_path",
        "length",
        "model",
        "reasons",
        "release",
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
        self.release = request.rules.release
        self.status: int | None = None
        self.aborted = self.untouched = self.reasons = False
        self.fast_path: FastPath | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def attempt(self) -> int:
        """Return the number of the request with the same scenario text, from 1."""
        return self.entry.attempt

    def now(self) -> float:
        """Return the loop's time in seconds, which the steps use."""
        return self._loop.time()

    def says(self, payload: bytes) -> bytes:
        """Return the bytes for a stream; a whole response has none before it."""
        return payload if self.stream else b""

    def abort(self) -> None:
        """End before the next token, with vLLM's `finish_reason` "abort"."""
        self.aborted = True

    def token(self, text: str) -> bytes:
        """Return a stream's event for this text, or none for a whole response."""
        return self.writer.text_event(text) if self.stream else b""
