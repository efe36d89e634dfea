"""The player of one response, which sends each step when it is due."""

import math
from collections.abc import Generator
from random import Random
from time import monotonic

from fake_vllm.engine.ledger import End
from fake_vllm.engine.pacer import Alarm, Turn
from fake_vllm.response.context import ResponseContext, ServerContext
from fake_vllm.response.fast_path import FastPath
from fake_vllm.response.framing import framed
from fake_vllm.response.generate import Generation
from fake_vllm.response.response import Response
from fake_vllm.response.state import State
from fake_vllm.response.steps import Step, Steps, kept_alive
from fake_vllm.scenarios.base import Cut

BATCH = 16_384  # the most bytes that a stream sends before others have their turn
MOST_STEPS = 256  # the most steps that it takes
NOTHING: Step = (0.0, b"", 0)


class StepPlayer:
    """A player that takes steps in turns of the pacer, until the end.

    It also ends when the client disconnects. A subclass makes the response, and its layers.
    """

    __slots__ = (
        *("_alarm", "_batch", "_entry", "_exchange", "_fast_path", "_held", "_layers", "_made"),
        *("_next", "_response", "_server", "_state", "_steps"),
    )

    def __init__(self, server: ServerContext, response: Response) -> None:
        """Prepare to play; nothing is sent before `start`."""
        self._server, self._response = server, response
        self._exchange, self._entry = response.exchange, response.entry
        self._state = State.NEW
        self._alarm = Alarm(self._step)
        self._layers: list[Steps] = []
        self._next = NOTHING
        self._held = b""  # a packet that waits until the client reads
        self._batch: list[bytes] = []
        self._made = server.engine.made
        self._fast_path: Generator[float, float, None] | None = None
        self._steps = self._assembled()

    def start(self) -> None:
        """Begin to play; the pacer and the client do the rest."""
        self._move(State.STEPPING, self._step)
        self._exchange.on_gone, self._exchange.on_drained = self._client_left, self._wake
        self._server.players.add(self)
        self._wake()

    def hurry(self) -> None:
        """Take the next step now, since the engine is dying."""
        at, data, tokens = self._next
        if at < math.inf:
            self._next = (0.0, data, tokens)
        self._leave_fast_path()
        self._wake()

    def cut(self) -> None:
        """End now, with a reset of the connection."""
        self._leave_fast_path()
        self._over("reset", Cut())

    # The layers, each of which takes the steps of the one before.

    def _assembled(self) -> Steps:
        """Return the packets of the response."""
        raise NotImplementedError

    def _layer(self, steps: Steps) -> Steps:
        """Close a layer at the end, the outermost first; closing generation frees the slot."""
        self._layers.append(steps)
        return steps

    # The states.

    def _move(self, state: State, turn: Turn) -> None:
        """Enter a state, in which the pacer calls `turn`."""
        self._state = self._state.to(state)
        self._alarm.turn = turn

    def _enter_fast_path(self, path: FastPath) -> None:
        self._fast_path = turns = path.turns(
            self._exchange, self._entry, self._made, self._fast_path_over
        )
        next(turns)
        self._move(State.FAST, turns.send)

    def _fast_path_over(self, now: float) -> float:
        self._move(State.STEPPING, self._step)
        self._fast_path = None
        return self._step(now)

    def _leave_fast_path(self) -> None:
        """Go on step by step, whatever is left of the fast path."""
        if self._fast_path is not None:
            self._fast_path.close()
            self._fast_path = None
            self._move(State.STEPPING, self._step)

    # A turn, step by step.

    def _wake(self) -> None:
        self._server.pacer.wake(self._alarm)

    def _step(self, now: float) -> float:
        """Send what is due, and return the loop time of the next step."""
        exchange = self._exchange
        try:
            step = self._next
            if exchange.blocked and not exchange.gone:
                return self._lag(step, now)
            if self._held:
                self._write(self._held)
                self._held = b""
            if step[0] == math.inf:  # the response was woken, so there may be more
                step = next(self._steps)
            self._next = step = self._send(step, now)
            if (path := self._response.fast_path) is not None:
                self._response.fast_path = None
                self._enter_fast_path(path)
        except StopIteration:
            self._end("finished")
        except Cut as cut:
            self._end("closed" if cut.clean else "reset", cut)
        except BaseException:
            self._over("failed", Cut())
            raise
        else:
            return max(now, step[0])
        return math.inf

    def _lag(self, step: Step, now: float) -> float:
        """Hold one packet back while the client does not read; later ones are merged."""
        for _ in range(MOST_STEPS):
            at, data, tokens = step
            if at > now or (data and self._held):
                break
            self._held = self._held or data
            if tokens:
                self._made(self._entry, tokens)
            step = next(self._steps)
        self._next = step
        return math.inf if step[1] and self._held else max(now, step[0])

    def _send(self, step: Step, now: float) -> Step:
        """Send the due steps in one packet, within limits; return the first step not done."""
        batch, size, entry, response = self._batch, 0, self._entry, self._response
        for _ in range(MOST_STEPS):
            at, data, tokens = step
            if at > now or size > BATCH or response.fast_path is not None:
                break
            batch.append(data)
            size += len(data)
            if tokens:
                self._made(entry, tokens)
            step = next(self._steps)
        self._flush()
        return step

    def _flush(self) -> None:
        data = b"".join(self._batch)
        self._batch.clear()
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        entry, exchange = self._entry, self._exchange
        if exchange.gone:
            return
        if entry.headers is None:
            entry.headers, entry.status = monotonic(), self._response.status
        entry.bytes += len(data)
        exchange.write(data)

    # The end.

    def _end(self, end: End, cut: Cut | None = None) -> None:
        """Send what is left, and end."""
        self._batch.append(self._held)
        self._flush()
        self._over(end, cut)

    def _client_left(self) -> None:
        self._leave_fast_path()
        self._entry.client_left = monotonic()
        self._server.ledger.tell(self._entry)
        if self._server.keep_generating:
            self._wake()
        else:
            self._over("client left")

    def _over(self, end: End, cut: Cut | None = None) -> None:
        entry, exchange = self._entry, self._exchange
        self._move(State.OVER, _nothing_more)
        self._server.pacer.forget(self._alarm)
        self._server.players.discard(self)
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
        self._server.ledger.tell(entry)


class Player(StepPlayer):
    """The player of an answer that the fake's own model makes."""

    __slots__ = ("_context",)

    def __init__(self, context: ResponseContext) -> None:
        """Make the layers of the response; nothing is sent before `start`.

        Raises:
            Refused: no text can be made for a schema of the request.
        """
        self._context = context
        request, entry = context.request, context.entry
        plan = context.plan()
        writer = request.writer(plan)
        cost = entry.prompt_tokens + (request.max_tokens or 0)
        response = Response(context.exchange, entry, context.server, writer, context.model, cost)
        response.errors, response.release = request, request.rules.release
        response.reasons = plan.reasons
        super().__init__(context.server, response)

    def start(self) -> None:
        request, metrics = self._context.request, self._server.engine.metrics
        metrics.params_n.observe(request.n)
        if request.max_tokens is not None:
            metrics.params_max_tokens.observe(request.max_tokens)
        super().start()

    def _assembled(self) -> Steps:
        context, response, scenario = self._context, self._response, self._context.scenario
        random, pace = Random(context.seed), scenario.pace(self._server.pace)
        generation = Generation(
            response, context.exchange, self._server.engine, pace, random, self._wake
        )
        generated = payloads = self._layer(generation.steps())
        if response.stream and pace.keep_alive and context.request.keeps_alive:
            payloads = self._layer(kept_alive(payloads, pace.keep_alive, response))
        payloads = self._layer(scenario.payloads(payloads, response))
        with_head = self._layer(framed(payloads, context, response, pace, random))
        packets = self._layer(scenario.packets(with_head, response))
        response.untouched = response.stream and payloads is generated and packets is with_head
        return packets


def _nothing_more(now: float) -> float:
    return math.inf
