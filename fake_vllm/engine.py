"""The scheduler: slots, the queue before them, and the pace at which tokens are made."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from fake_vllm.ledger import Entry
from fake_vllm.metrics import Metrics
from fake_vllm.wire import Finish


@dataclass(frozen=True)
class Plan:
    """What one request will get, after its scenario has had its say.

    `eos_after`: the model emits its end token after so many tokens; None: never. It is the script that keeps to this.
    `max_tokens`: what the request asked for; None: nothing.
    `context`: what is left of the model's context; None: it never fills.
    """

    eos_after: int | None
    max_tokens: int | None
    context: int | None

    @property
    def limit(self) -> int | None:
        """The most tokens it may make; None: no limit at all."""
        return min((n for n in (self.max_tokens, self.context) if n is not None), default=None)

    @property
    def endless(self) -> bool:
        return self.eos_after is None and self.limit is None

    @property
    def runs_on(self) -> bool:
        """Whether the end token would come only when the context is full, or never."""
        return self.eos_after is None or (self.context is not None and self.eos_after >= self.context)


@dataclass(frozen=True)
class Piece:
    """One token's text, as far as it may be shown, and how the answer ended if this was the last."""

    text: str
    finish: Finish | None = None
    stop: str | None = None


class Engine:
    """`slots` requests run at once (vLLM's --max-num-seqs), the others wait in order of arrival."""

    def __init__(self, metrics: Metrics, *, slots: int, gap: float, first_token: float) -> None:
        self._metrics = metrics
        self._slots = asyncio.Semaphore(slots)
        self._gap = gap
        self._first_token = first_token

    @asynccontextmanager
    async def slot(self, entry: Entry, prompt_tokens: int) -> AsyncIterator[None]:
        """Hold a slot for the body; it is free again the moment the body is left, however that comes about."""
        self._metrics.waiting.inc()
        try:
            await self._slots.acquire()
        finally:
            self._metrics.waiting.dec()
        self._metrics.running.inc()
        self._metrics.prompt_tokens.inc(prompt_tokens)
        entry.started = monotonic()
        try:
            yield
        finally:
            self._slots.release()
            self._metrics.running.dec()
            entry.slot_freed = monotonic()

    async def generate(self, plan: Plan, stops: list[str], tokens: Iterator[str], entry: Entry) -> AsyncIterator[Piece]:
        """Make `tokens` at the server's pace until they end, or the plan's limit or a stop string ends the answer.

        Each token is due at a fixed time after the start, so a slow reader is caught up with and the pace never drifts.
        """
        start = asyncio.get_running_loop().time() + self._first_token
        for index, piece in enumerate(_pieces(plan, stops, tokens)):
            await self._until(start + index * self._gap, index)
            entry.made_token()
            self._metrics.generation_tokens.inc()
            yield piece
            if piece.finish:
                self._metrics.finished(piece.finish)

    async def _until(self, due: float, index: int) -> None:
        wait = due - asyncio.get_running_loop().time()
        # Late or unpaced: give way now and then, or one stream would have the loop to itself.
        if wait > 0 or index % 8 == 0:
            await asyncio.sleep(max(wait, 0))


class StopStrings:
    """Holds back text that could be the beginning of a stop string, and cuts at the first one, as vLLM does."""

    def __init__(self, stops: list[str]) -> None:
        self._stops = stops
        self._hold = max((len(stop) for stop in stops), default=1) - 1
        self._buffer = ""
        self.hit: str | None = None

    def feed(self, token: str) -> str:
        """The text that may be shown now. Sets `hit` when a stop string is complete."""
        self._buffer += token
        found = [(at, stop) for stop in self._stops if (at := self._buffer.find(stop)) >= 0]
        if found:
            at, self.hit = min(found)
            shown, self._buffer = self._buffer[:at], ""
            return shown
        cut = len(self._buffer) - self._hold
        shown, self._buffer = (self._buffer[:cut], self._buffer[cut:]) if cut > 0 else ("", self._buffer)
        return shown

    def rest(self) -> str:
        rest, self._buffer = self._buffer, ""
        return rest


def _pieces(plan: Plan, stops: list[str], tokens: Iterator[str]) -> Iterator[Piece]:
    text = StopStrings(stops)
    limit = plan.limit
    for made, token in enumerate(tokens, start=1):
        shown = text.feed(token)
        if text.hit is not None:
            yield Piece(shown, "stop", text.hit)
            return
        if limit is not None and made >= limit:
            yield Piece(shown + text.rest(), "length")
            return
        yield Piece(shown)
    yield Piece(text.rest(), "stop")  # the end token itself: it counts, and carries no text
