"""A player of one response from a real engine's tokens, in vLLM's wire format.

It drops the sequences when the client disconnects.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any, Protocol

from fake_vllm.api import dumps, events
from fake_vllm.engine.ledger import End
from fake_vllm.engine.slots import Slot
from fake_vllm.http.exchange import CHUNK, LAST_CHUNK
from fake_vllm.http.headers import STREAM_HEADERS, json_headers
from fake_vllm.model import Piece, merge
from fake_vllm.model.text_piece import PLAIN
from fake_vllm.response.context import ResponseContext
from fake_vllm.response.generate import ABORTED


class Generation(Protocol):
    """A sequence that an engine is generating."""


class Engine(Protocol):
    """An engine that makes tokens.

    It calls `on_token` in its own thread with the id of each token, until the sequence is dropped.
    """

    def add(
        self, prompt: Sequence[int], on_token: Callable[[int], object], seed: int
    ) -> Generation: ...

    def drop(self, generation: Any) -> None: ...


@dataclass
class Arriving:
    """The source of a writer's texts.

    Attributes:
        piece: the newest token; a sequence is pulled only when there is a token for it.
    """

    piece: Piece = PLAIN[-1]

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        while True:
            yield self.piece


class TorchPlayer:
    """A player of one response, in the server's loop, which the engine's thread only wakes."""

    def __init__(self, engine: Engine, context: ResponseContext) -> None:
        self._engine, self._server = engine, context.server
        self._exchange, self._request, self._entry = (
            context.exchange,
            context.request,
            context.entry,
        )
        self._loop = asyncio.get_running_loop()
        self._arriving = Arriving()
        self._writer = self._request.writer(replace(self._request.plan(), source=self._arriving))
        self._running: dict[int, Generation] = {}
        self._held: dict[int, Piece] = {}
        self._begun = False
        self._resources = ExitStack()
        self._slot: Slot | None = None

    def start(self) -> None:
        """Wait for a slot; the slot, the tokens and the client do the rest."""
        exchange = self._exchange
        exchange.on_gone, exchange.on_drained = self._client_left, self._catch_up
        self._server.players.add(self)
        if self._request.stream:
            exchange.write(exchange.head(200, STREAM_HEADERS, chunked=True))
            self._entry.headers, self._entry.status = monotonic(), 200
        if not self._writer.sequences:
            self._end()
            return
        slots = self._server.engine.slot(self._entry, len(self._writer.sequences), self._begin)
        self._slot = self._resources.enter_context(slots)

    def hurry(self) -> None:
        """End each sequence with `finish_reason` "abort", as a vLLM that is being stopped."""
        for index in tuple(self._running):
            self._take(index, ABORTED)

    def cut(self) -> None:
        """End now, with a reset of the connection."""
        self._drop("reset")
        self._exchange.reset()

    def _begin(self) -> None:
        # The call that waits for the slot may grant it, before `start` has it.
        self._loop.call_soon(self._generate)

    def _generate(self) -> None:
        if self._exchange.gone:
            return
        for index, prompt in enumerate(self._request.prompt_ids):
            self._running[index] = self._engine.add(
                prompt, partial(self._from_engine, index), seed=index
            )
        if self._server.engine.dying:
            self.hurry()

    def _from_engine(self, index: int, token: int) -> None:
        with suppress(RuntimeError):  # the loop is closed, since the server has ended
            self._loop.call_soon_threadsafe(self._arrived, index, token)

    def _arrived(self, index: int, token: int) -> None:
        if index not in self._running:
            return  # it was dropped while this token was being made
        try:
            self._go_on(index, token)
        # A fault of this server breaks the response off, and the loop reports it.
        except BaseException:
            self._drop("failed")
            self._exchange.reset()
            raise

    def _go_on(self, index: int, token: int) -> None:
        self._arriving.piece = PLAIN[token]
        piece = next(self._writer.sequences[index])
        self._take(index, piece)

    def _take(self, index: int, piece: Piece) -> None:
        """Send or collect a piece; end the response after the last one."""
        self._server.engine.made(self._entry, 1)
        if piece.finish is not None:
            self._engine.drop(self._running.pop(index))
            self._server.engine.metrics.request_finished(self._entry, piece.finish)
        if not self._request.stream:
            self._writer.collect(index, piece)
        elif self._exchange.blocked:
            # As vLLM does, keep generating for a client that does not read, and send everything at
            # once when it does.
            self._held[index] = merge(self._held[index], piece) if index in self._held else piece
        else:
            self._send(index, piece)
        if not self._running and not self._held:
            self._end()

    def _send(self, index: int, piece: Piece) -> None:
        if not self._begun:
            self._begun = True
            for event in self._writer.begin():
                self._write(event)
        self._write(self._writer.event(index, piece))

    def _write(self, data: bytes) -> None:
        for event in events(data):
            self._entry.bytes += len(event)
            self._exchange.write(CHUNK % (len(event), event))

    def _catch_up(self) -> None:
        held, self._held = self._held, {}
        for index, piece in held.items():
            self._send(index, piece)
        if held and not self._running:
            self._end()

    def _end(self) -> None:
        self._over("finished")
        if self._request.stream:
            for event in self._writer.end():
                self._write(event)
            self._exchange.write(LAST_CHUNK)
        else:
            body = dumps(self._writer.answer())
            self._exchange.write(self._exchange.head(200, json_headers(len(body))) + body)
            self._entry.status = 200
        self._exchange.done()

    def _client_left(self) -> None:
        self._entry.client_left = monotonic()
        self._drop("client left")
        self._exchange.done()

    def _drop(self, end: End) -> None:
        for generation in self._running.values():
            self._engine.drop(generation)
        self._running.clear()
        self._over(end)

    def _over(self, end: End) -> None:
        self._resources.close()
        self._entry.end, self._entry.over = end, monotonic()
        self._server.players.discard(self)
