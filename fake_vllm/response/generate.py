"""The generation of a healthy response: a slot, then tokens at their pace."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from fake_vllm.api import dumps, events
from fake_vllm.engine.slots import Engine
from fake_vllm.engine.timing import Pace
from fake_vllm.http.exchange import Exchange
from fake_vllm.model import Piece, merge
from fake_vllm.response.fast_path import FastPath
from fake_vllm.response.response import Response
from fake_vllm.response.steps import WAIT, Steps
from fake_vllm.scenarios.base import engine_death

MOST_MERGED = 65_536
"""Characters merged into one event for a client that does not read; then the engine waits."""
ABORTED: Final = Piece("", (), "abort")


class Generation:
    """The payloads of one response: the events of a stream, or a whole body."""

    __slots__ = (
        "_begun",
        "_engine",
        "_exchange",
        "_lagging",
        "_pace",
        "_random",
        "_response",
        "_wake",
    )

    def __init__(
        self,
        response: Response,
        exchange: Exchange,
        engine: Engine,
        pace: Pace,
        random: Random,
        wake: Callable[[], None],
    ) -> None:
        """Prepare to generate; nothing happens before the first step.

        Args:
            response: the response to make.
            exchange: tells whether the client reads, and whether it has disconnected.
            engine: grants the slot.
            pace: the times that the engine takes.
            random: the source of random times.
            wake: called when the slot is granted.
        """
        self._response, self._exchange, self._engine = response, exchange, engine
        self._pace, self._random, self._wake = pace, random, wake
        self._begun = False
        self._lagging: dict[int, Piece] = {}  # unread tokens, by choice

    def steps(self) -> Steps:
        """Yield the payloads; the slot is freed when this generator ends or is closed."""
        response, writer = self._response, self._response.writer
        with self._engine.slot(response.entry, len(writer.sequences), self._wake) as slot:
            while not slot.granted:
                if self._engine.dead:
                    raise engine_death(response)
                yield WAIT
            yield from self._rounds()
        now = response.now()
        if response.stream:
            for event in writer.end():
                yield now, event, 0
        else:
            body = dumps(writer.answer())
            response.length = len(body)
            yield now, body, 0

    def _rounds(self) -> Steps:
        """Yield a token of each choice in turn, until all have finished."""
        response, engine, exchange = self._response, self._engine, self._exchange
        entry, writer = response.entry, response.writer
        gaps = self._pace.gap(self._random)
        due = (
            response.now()
            + next(self._pace.first_token(self._random))
            + self._pace.prefill * entry.prompt_tokens
            + self._pace.first_per_running * (engine.metrics.running - len(writer.sequences))
        )
        if more := self._pace.gap_per_running:
            alone, metrics = len(writer.sequences), engine.metrics
            gaps = (gap + more * (metrics.running - alone) for gap in gaps)
        ahead: list[Piece] = []  # pieces that a fast path drew but did not send, the next one last
        live = list(enumerate(writer.sequences))
        while live:
            if (
                response.untouched
                and len(live) == 1
                and (path := self._fast_path(*live[0], ahead, gaps, due)) is not None
            ):
                before = entry.tokens
                response.fast_path = path
                yield due, b"", 0  # the player comes back here after the fast path
                writer.count(live[0][0], entry.tokens - before)
                due = path.due
            finished = []
            for index, sequence in live:
                if engine.dead:
                    raise engine_death(response)
                if response.aborted or engine.dying:
                    piece, due = ABORTED, 0.0
                else:
                    piece = ahead.pop() if ahead else next(sequence)
                if piece.finish is not None:
                    finished.append(index)
                data = b""
                if not response.stream:
                    writer.collect(index, piece)
                else:
                    if self._lagging or exchange.blocked:
                        merged = self._merged(index, piece)
                        if merged is None:
                            yield due, b"", 1
                            continue
                        piece = merged
                    if not self._begun:
                        self._begun = True
                        # As on vLLM, the role is sent with the first token.
                        for event in writer.begin():
                            yield due, event, 0
                    data = writer.event(index, piece)
                    if data.count(b"\n\n") > 1:  # each goes into its own HTTP chunk
                        *others, data = events(data)
                        for event in others:
                            yield due, event, 0
                yield due, data, 1
                if piece.finish is not None:
                    engine.metrics.request_finished(entry, piece.finish)
            if finished:
                live = [(index, sequence) for index, sequence in live if index not in finished]
            due += next(gaps)

    def _fast_path(
        self,
        index: int,
        sequence: Iterator[Piece],
        ahead: list[Piece],
        gaps: Iterator[float],
        due: float,
    ) -> FastPath | None:
        """Return the fast path for the next tokens. None: they need the steps."""
        if not self._begun or self._lagging or self._exchange.blocked or self._exchange.gone:
            return None
        frame = self._response.writer.frame(index)
        return None if frame is None else FastPath(frame, sequence, ahead, gaps, due)

    def _merged(self, index: int, piece: Piece) -> Piece | None:
        """Return everything unsent of a choice. None: it is kept until the client reads."""
        whole = merge(self._lagging.pop(index), piece) if index in self._lagging else piece
        if (
            self._begun
            and self._exchange.blocked
            and whole.finish is None
            and len(whole.text) < MOST_MERGED
        ):
            self._lagging[index] = whole
            return None
        return whole
