"""One answer on its way: the model makes it, the scenario spoils it, and it is played to the wire at its pace."""

import asyncio
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from random import Random
from time import monotonic

from fake_vllm.api import DONE, Asked, Job, dumps, error_event, events
from fake_vllm.connection import CHUNK, LAST_CHUNK, Exchange, Headers
from fake_vllm.engine import Engine
from fake_vllm.flow import Flow
from fake_vllm.headers import STREAM_HEADERS, json_headers
from fake_vllm.ledger import End, Entry, Ledger
from fake_vllm.model import Piece, Plan, Source, merge
from fake_vllm.pacer import Alarm, Pacer
from fake_vllm.scenarios import Cut, Failure, Scenario
from fake_vllm.steps import COMMENT, WAIT, Step, Steps
from fake_vllm.timing import Pace

BATCH = 16_384  # bytes one stream may send before the others have their turn
BUSY = 256  # and steps it may take
LAG = 65_536  # characters that are merged into one event for a client that does not read; then the engine waits for it
NOTHING: Step = (0.0, b"", 0)


@dataclass(frozen=True)
class House:
    """What all answers of a server share. `keep_going`: generate on when the client has left. `source`: where free
    text comes from; None: as each request has it.
    """

    engine: Engine
    ledger: Ledger
    pacer: Pacer
    pace: Pace
    keep_going: bool = False
    more_headers: Callable[[Exchange], Headers] = lambda exchange: ()
    source: Source | None = None
    answers: set["Answer"] = field(default_factory=set)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)

    def shape(self, plan: Plan) -> Plan:
        return plan if self.source is None else replace(plan, source=self.source)


class Answer:
    """The scenario's `Call`, and what the pacer calls when the next step is due."""

    __slots__ = (
        *("stream", "model", "entry", "job", "length"),
        *("_house", "_exchange", "_asked", "_scenario", "_pace", "_random", "_alarm", "_loop", "_layers", "_steps"),
        *("_next", "_held", "_batch", "_made", "_status", "_aborted", "_plain", "_flow", "_run"),
    )

    def __init__(
        self, house: House, exchange: Exchange, asked: Asked, entry: Entry, scenario: Scenario, model: str, seed: str
    ) -> None:
        self.stream = asked.stream
        self.model = model
        self.entry = entry
        self.job: Job = asked.job(scenario.shape(house.shape(asked.plan())))
        self._house = house
        self._exchange = exchange
        self._asked = asked
        self._scenario = scenario
        self._pace = scenario.pace(house.pace)
        self._random = Random(seed)
        self._alarm = Alarm(self._turn)
        self._loop = asyncio.get_running_loop()
        self.length = 0
        self._aborted = self._plain = False
        self._flow: Flow | None = None
        self._run: Generator[float, float, None] | None = None
        self._layers: list[Steps] = []
        self._next = NOTHING
        self._held = b""
        self._batch: list[bytes] = []
        self._made = house.engine.made
        self._status: int | None = None

    @property
    def attempt(self) -> int:
        return self.entry.attempt

    def now(self) -> float:
        return self._loop.time()

    def says(self, payload: bytes) -> bytes:
        return payload if self.stream else b""

    def abort(self) -> None:
        self._aborted = True

    def token(self, text: str) -> bytes:
        return self.job.text_event(text) if self.stream else b""

    def start(self) -> None:
        """Begin to play; everything else happens when the pacer or the client calls."""
        exchange = self._exchange
        exchange.on_gone, exchange.on_drained = self._left, self._wake
        made = payloads = self._layer(self._payloads())
        if self.stream and (every := self._pace.keep_alive):
            payloads = self._layer(_kept_alive(payloads, every, self.now))
        payloads = self._scenario.payloads(payloads, self)
        framed = self._layer(self._packets(self._layer(payloads)))
        packets = self._scenario.packets(framed, self)
        self._steps = self._layer(packets)
        self._plain = self.stream and payloads is made and packets is framed
        metrics = self._house.engine.metrics
        metrics.params_n.observe(self._asked.n)
        if self._asked.max_tokens is not None:
            metrics.params_max_tokens.observe(self._asked.max_tokens)
        self._house.answers.add(self)
        self._house.quiet.clear()
        self._wake()

    def hurry(self) -> None:
        """Do not wait for the next step's time: the engine is dying."""
        at, data, tokens = self._next
        if at < math.inf:
            self._next = (0.0, data, tokens)
        self._step_by_step()
        self._wake()

    # the answer as a healthy server sends it

    def _payloads(self) -> Steps:
        """Event after event of a stream, or the body of a whole answer; tokens in between at the engine's pace."""
        house, job, says = self._house, self.job, self.stream
        with house.engine.slot(self.entry, len(job.sequences), self._wake) as slot:
            while not slot.granted:
                yield WAIT
            pace = self._pace
            gaps = pace.gap(self._random)
            due = self.now() + next(pace.first_token(self._random)) + pace.prefill * self.entry.prompt_tokens
            lagging: dict[int, Piece] = {}
            ahead: list[Piece] = []
            begun = False
            live = list(enumerate(job.sequences))
            while live:
                if begun and self._plain and len(live) == 1 and not (lagging or self._exchange.blocked or self._exchange.gone):
                    index, sequence = live[0]
                    if (frame := job.frame(index)) is not None:
                        tokens = self.entry.tokens
                        flow = self._flow = Flow(frame, sequence, ahead, gaps, due)
                        yield due, b"", 0
                        job.count(index, self.entry.tokens - tokens)
                        due = flow.due
                ended = []
                for index, sequence in live:
                    if self._aborted or house.engine.dying:
                        piece, due = Piece("", (), "abort"), 0.0
                    else:
                        piece = ahead.pop() if ahead else next(sequence)
                    if piece.finish is not None:
                        ended.append(index)
                    if says and (lagging or self._exchange.blocked):
                        piece = lagging[index] = merge(lagging[index], piece) if index in lagging else piece
                        if self._exchange.blocked and piece.finish is None and len(piece.text) < LAG and begun:
                            yield due, b"", 1
                            continue
                        del lagging[index]
                    data = b""
                    if says:
                        if not begun:
                            begun = True
                            # The first token is there; the role is sent with it, as vLLM does.
                            for opening in job.begin():
                                yield due, opening, 0
                        data = job.event(index, piece)
                        if data.count(b"\n\n") > 1:
                            *before, data = events(data)
                            for event in before:
                                yield due, event, 0
                    else:
                        job.collect(index, piece)
                    yield due, data, 1
                    if piece.finish is not None:
                        house.engine.metrics.request_finished(self.entry, piece.finish)
                if ended:
                    live = [(index, sequence) for index, sequence in live if index not in ended]
                due += next(gaps)
        now = self.now()
        if says:
            for event in job.end():
                yield now, event, 0
        else:
            body = dumps(job.answer())
            self.length = len(body)
            yield now, body, 0

    # HTTP around it

    def _packets(self, payloads: Steps) -> Steps:
        """The head, at once in a stream and with the body else; each payload as one chunk; an end, or the error in its place."""
        headers_at = self.now() + next(self._pace.headers(self._random))
        try:
            self._scenario.before(self)
            if self.stream:
                yield headers_at, self._head(200, STREAM_HEADERS, chunked=True), 0
                for at, data, tokens in payloads:
                    yield at, CHUNK % (len(data), data) if data else b"", tokens
            else:
                for at, data, tokens in payloads:
                    if data and self._status is None:
                        data = self._head(200, json_headers(self.length)) + data
                    yield max(at, headers_at) if data else at, data, tokens
        except Failure as failure:
            self.entry.end = failure.end
            if self._status is None:
                body = dumps(failure.body)
                yield headers_at, self._head(failure.status, [*json_headers(len(body)), *failure.headers]) + body, 0
                return
            for data in (error_event(failure.body), DONE):
                yield 0, CHUNK % (len(data), data), 0
        if self.stream:
            yield 0, LAST_CHUNK, 0

    def _head(self, status: int, headers: Headers, *, chunked: bool = False) -> bytes:
        self._status = status
        return self._exchange.head(status, [*headers, *self._house.more_headers(self._exchange)], chunked=chunked)

    # playing it

    def _layer(self, steps: Steps) -> Steps:
        """Remember a layer, so that each is closed, the outermost first, when the answer is over."""
        self._layers.append(steps)
        return steps

    def _wake(self) -> None:
        self._house.pacer.wake(self._alarm)

    def _step_by_step(self) -> None:
        """Leave the quick way, if it is taken."""
        self._alarm.turn = self._turn
        if self._run is not None:
            self._run.close()
            self._run = None

    def _turn(self, now: float) -> float:
        """Send what is due; returns when the next step is (loop time in seconds)."""
        self._alarm.turn, self._run = self._turn, None
        exchange = self._exchange
        try:
            step = self._next
            if exchange.blocked and not exchange.gone:
                return self._lag(step, now)
            if self._held:
                self._write(self._held)
                self._held = b""
            if step[0] == math.inf:  # somebody woke the answer, so there may be more now
                step = next(self._steps)
            self._next = step = self._several(step, now)
            if self._flow is not None:
                self._run = run = self._flow.run(exchange, self.entry, self._made, self._turn)
                self._flow = None
                next(run)
                self._alarm.turn = run.send
        except StopIteration:
            self._end("finished")
        except Cut as cut:
            self._end("closed" if cut.clean else "reset", cut)
        except BaseException:
            self._finish("failed", Cut())
            raise
        else:
            return max(now, step[0])
        return math.inf

    def _lag(self, step: Step, now: float) -> float:
        """The client does not read: hold one packet back; the engine goes on, sees that the client lags, and merges what follows."""
        for _ in range(BUSY):
            at, data, tokens = step
            if at > now or (data and self._held):
                break
            self._held = self._held or data
            if tokens:
                self._made(self.entry, tokens)
            step = next(self._steps)
        self._next = step
        return math.inf if step[1] and self._held else max(now, step[0])

    def _several(self, step: Step, now: float) -> Step:
        """Send what is due in one packet, as far as the others' patience goes; returns the first step that was not done."""
        batch, size = self._batch, 0
        for _ in range(BUSY):
            at, data, tokens = step
            if at > now or size > BATCH or self._flow is not None:
                break
            batch.append(data)
            size += len(data)
            if tokens:
                self._made(self.entry, tokens)
            step = next(self._steps)
        self._flush()
        return step

    def _end(self, end: End, cut: Cut | None = None) -> None:
        self._batch.append(self._held)
        self._flush()
        self._finish(end, cut)

    def _flush(self) -> None:
        data = b"".join(self._batch)
        self._batch.clear()
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        entry, exchange = self.entry, self._exchange
        if exchange.gone:
            return
        if entry.headers is None:
            entry.headers, entry.status = monotonic(), self._status
        entry.bytes += len(data)
        exchange.write(data)

    def _left(self) -> None:
        self._step_by_step()
        self.entry.client_left = monotonic()
        self._house.ledger.tell(self.entry)
        if self._house.keep_going:
            self._wake()
        else:
            self._finish("client left")

    def _finish(self, end: End, cut: Cut | None = None) -> None:
        entry, exchange = self.entry, self._exchange
        self._alarm.turn = _over
        self._house.pacer.forget(self._alarm)
        self._house.answers.discard(self)
        if not self._house.answers:
            self._house.quiet.set()
        for layer in reversed(self._layers):
            layer.close()
        if entry.client_left is not None:
            entry.end = "client left"
        elif entry.end == "running":
            entry.end = end
        entry.over = monotonic()
        if cut is None or cut.clean:
            exchange.done(close=cut is not None)
        else:
            exchange.reset()
        self._house.ledger.tell(entry)


def _over(now: float) -> float:
    return math.inf


def _kept_alive(steps: Steps, every: float, now: Callable[[], float]) -> Steps:
    """A comment after each `every` seconds in which nothing is due."""
    last = now()
    for at, data, tokens in steps:
        while last + every < at < math.inf:
            last += every
            yield last, COMMENT, 0
        yield at, data, tokens
        if data:
            last = now()
