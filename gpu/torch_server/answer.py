"""One answer on its way: the engine makes tokens, the job words them as vLLM does, and when the client leaves the engine is told."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any, Protocol

from fake_vllm.answer import House
from fake_vllm.api import Asked, dumps, events
from fake_vllm.connection import CHUNK, LAST_CHUNK, Exchange
from fake_vllm.engine import Slot
from fake_vllm.headers import STREAM_HEADERS, json_headers
from fake_vllm.ledger import End, Entry
from fake_vllm.model import Piece, merge
from fake_vllm.model.piece import PLAIN


class Generation(Protocol):
    """A sequence that an engine is generating."""


class Engine(Protocol):
    """Who makes the tokens. `told` is called in a thread of the engine's own with each token's id, until the sequence is dropped."""

    def add(self, prompt: Sequence[int], told: Callable[[int], object], seed: int) -> Generation: ...

    def drop(self, generation: Any) -> None: ...


@dataclass
class Arriving:
    """The source of a job's texts. `piece`: the token that has just come; a choice is asked to go on only then."""

    piece: Piece = PLAIN[-1]

    def pieces(self, seed: str, prompt: str, *, endless: bool) -> Iterator[Piece]:
        while True:
            yield self.piece


class TorchAnswer:
    """Plays an answer from the engine's tokens. All of it runs in the server's loop; the engine's thread only wakes that."""

    def __init__(self, engine: Engine, house: House, exchange: Exchange, asked: Asked, entry: Entry) -> None:
        self._engine, self._house, self._exchange, self._asked, self._entry = engine, house, exchange, asked, entry
        self._loop = asyncio.get_running_loop()
        self._arriving = Arriving()
        self._job = asked.job(replace(asked.plan(), source=self._arriving))
        self._running: dict[int, Generation] = {}
        self._held: dict[int, Piece] = {}
        self._begun = False
        self._resources = ExitStack()
        self._slot: Slot | None = None

    def start(self) -> None:
        """Ask for a slot; all else happens when it is there, a token is made, or the client leaves."""
        exchange = self._exchange
        exchange.on_gone, exchange.on_drained = self._left, self._catch_up
        if self._asked.stream:
            exchange.write(exchange.head(200, STREAM_HEADERS, chunked=True))
            self._entry.headers, self._entry.status = monotonic(), 200
        if not self._job.sequences:
            self._end()
            return
        slots = self._house.engine.slot(self._entry, len(self._job.sequences), self._begin)
        self._slot = self._resources.enter_context(slots)

    def _begin(self) -> None:
        # The slot may be granted within the call that asks for it, before it is known here.
        self._loop.call_soon(self._generate)

    def _generate(self) -> None:
        if self._exchange.gone:
            return
        for index, prompt in enumerate(self._asked.prompt_ids):
            self._running[index] = self._engine.add(prompt, partial(self._from_engine, index), seed=index)

    def _from_engine(self, index: int, token: int) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(self._arrived, index, token)

    def _arrived(self, index: int, token: int) -> None:
        if index not in self._running:
            return  # it was dropped while this token was being made
        try:
            self._go_on(index, token)
        except BaseException:  # a fault of this server's own: the answer breaks off, and the loop tells about it
            self._drop("failed")
            self._exchange.reset()
            raise

    def _go_on(self, index: int, token: int) -> None:
        self._arriving.piece = PLAIN[token]
        piece = next(self._job.sequences[index])
        self._house.engine.made(self._entry, 1)
        if piece.finish is not None:
            self._engine.drop(self._running.pop(index))
            self._house.engine.metrics.request_finished(self._entry, piece.finish)
        if not self._asked.stream:
            self._job.collect(index, piece)
        elif self._exchange.blocked:
            # As vLLM does, generate on for a client that does not read, and tell it all at once when it does.
            self._held[index] = merge(self._held[index], piece) if index in self._held else piece
        else:
            self._send(index, piece)
        if not self._running and not self._held:
            self._end()

    def _send(self, index: int, piece: Piece) -> None:
        if not self._begun:
            self._begun = True
            for event in self._job.begin():
                self._write(event)
        self._write(self._job.event(index, piece))

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
        self._resources.close()
        self._entry.end, self._entry.over = "finished", monotonic()
        if self._asked.stream:
            for event in self._job.end():
                self._write(event)
            self._exchange.write(LAST_CHUNK)
        else:
            body = dumps(self._job.answer())
            self._exchange.write(self._exchange.head(200, json_headers(len(body))) + body)
            self._entry.status = 200
        self._exchange.done()

    def _left(self) -> None:
        self._entry.client_left = monotonic()
        self._drop("client left")
        self._exchange.done()

    def _drop(self, end: End) -> None:
        for generation in self._running.values():
            self._engine.drop(generation)
        self._running.clear()
        self._resources.close()
        self._entry.end, self._entry.over = end, monotonic()
