"""One response, as the engine, the framing, the scenarios and the player share it."""

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from fake_vllm.api import DONE, ResponseWriter, error_event
from fake_vllm.api.release import OLD
from fake_vllm.engine.ledger import Entry
from fake_vllm.http.exchange import Exchange
from fake_vllm.response.fast_path import FastPath

if TYPE_CHECKING:
    from fake_vllm.response.context import ServerContext


class Coder(Protocol):
    """A content coding, such as gzip, for the body of one response."""

    name: bytes

    def encode(self, data: bytes, *, last: bool = False) -> bytes:
        """Return the coded bytes that are ready; with `last`, all that are left."""


class ErrorForms(Protocol):
    """How an endpoint sends an error; an accepted request knows it."""

    def error_body(self, error: dict[str, Any]) -> dict[str, Any]:
        """Return an error as the endpoint words it in a whole answer."""

    def error_events(self, error: dict[str, Any]) -> list[bytes] | None:
        """Return the events that end a stream. None: the connection is closed."""


class OpenAiErrors:
    """The errors of chats and completions."""

    def error_body(self, error: dict[str, Any]) -> dict[str, Any]:
        return error

    def error_events(self, error: dict[str, Any]) -> list[bytes] | None:
        return [error_event(error), DONE]


class Response:
    """A response, as a scenario sees it and may change it.

    Attributes:
        stream: whether it is sent event by event.
        model: the name of the model in it.
        exchange: the request, and the way back to its client.
        entry: its entry in the ledger.
        errors: how its endpoint sends an error.
        server: the parts that all responses share.
        writer: writes its events, or its body.
        cost: the tokens that a limit of the rate counts: the prompt, and the most for the answer.
        headers: further headers, which a scenario adds before there is a head.
        coder: the coding of the body. None: it is sent as it is.
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
        "coder",
        "cost",
        "entry",
        "errors",
        "exchange",
        "fast_path",
        "headers",
        "length",
        "model",
        "reasons",
        "release",
        "server",
        "status",
        "stream",
        "untouched",
        "writer",
    )

    def __init__(
        self,
        exchange: Exchange,
        entry: Entry,
        server: "ServerContext",
        writer: ResponseWriter,
        model: str,
        cost: int,
    ) -> None:
        self.stream = entry.stream
        self.model = model
        self.exchange = exchange
        self.entry = entry
        self.server = server
        self.writer = writer
        self.cost = cost
        self.headers: list[tuple[bytes, bytes]] = []
        self.coder: Coder | None = None
        self.length = 0
        self.release = OLD
        self.errors: ErrorForms = OpenAiErrors()
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

    def instead(self, old: bytes, new: bytes) -> bytes:
        """Return bytes that take the place of others; the declared length follows."""
        if not self.stream:
            self.length += len(new) - len(old)
        return new

    def abort(self) -> None:
        """End before the next token, with vLLM's `finish_reason` "abort"."""
        self.aborted = True

    def token(self, text: str) -> bytes:
        """Return a stream's event for this text, or none for a whole response."""
        return self.writer.text_event(text) if self.stream else b""
