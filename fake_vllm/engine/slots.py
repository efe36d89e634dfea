"""The scheduler: slots, the queue for them, and the counts of the engine."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.metrics import Metrics

TOO_MANY_REQUESTS = (
    "The engine is currently busy and cannot accept new requests. Please try again later or on a "
    "different instance."
)
TOO_MANY_TOKENS = (
    "The engine has reached its prefill token backlog limit. Please try again later or on a "
    "different instance."
)


class EngineDead(Exception):
    """Raised when the engine has died."""


class Overloaded(Exception):
    """Raised when the queue is full; the text is vLLM's."""


class Slot:
    """A place in the batch for `size` sequences, granted or waited for."""

    def __init__(self, entry: Entry, size: int, wake: Callable[[], None]) -> None:
        self.entry = entry
        self.size = size
        self.granted = False
        self.wake = wake


class Engine:
    """An engine that runs `slots` sequences at once (vLLM's --max-num-seqs); others wait in order.

    Attributes:
        dying: whether the server is being stopped; running responses then end with "abort".
        dead: whether the engine has died; running responses then end with an error.
    """

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        *,
        slots: int,
        max_requests: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Make an idle engine.

        Args:
            ledger: is notified of each request's events.
            metrics: count the events.
            slots: how many sequences run at once.
            max_requests: the most sequences that may run or wait (--max-num-queued-reqs). None: no
                limit.
            max_tokens: the most prompt tokens of requests without a first token
                (--max-num-queued-tokens). None: no limit.
        """
        self.metrics = metrics
        self._tell = ledger.tell
        self.dying = self.dead = False
        self._free = self._slots = slots
        self._max_requests = max_requests
        self._max_tokens = max_tokens
        self._queue: deque[Slot] = deque()

    def admit(self, sequences: int) -> None:
        """Check that the queue has room for a request.

        Raises:
            EngineDead: the engine has died.
            Overloaded: the queue is full.
        """
        if self.dead:
            raise EngineDead
        metrics = self.metrics
        if (
            self._max_requests is not None
            and metrics.running + metrics.waiting + sequences > self._max_requests
        ):
            metrics.rejected["max_num_queued_reqs"] += 1
            raise Overloaded(TOO_MANY_REQUESTS)
        if self._max_tokens is not None and metrics.prefilling >= self._max_tokens:
            metrics.rejected["max_num_queued_tokens"] += 1
            raise Overloaded(TOO_MANY_TOKENS)

    @contextmanager
    def slot(self, entry: Entry, sequences: int, wake: Callable[[], None]) -> Iterator[Slot]:
        """Queue for a slot, and hold it until the block ends.

        Args:
            entry: the request's entry in the ledger.
            sequences: how many sequences need a place.
            wake: called when the slot is granted.
        """
        slot = Slot(entry, min(sequences, self._slots), wake)
        entry.queued = monotonic()
        self.metrics.waiting += slot.size
        self.metrics.prefilling += entry.prompt_tokens
        self._queue.append(slot)
        self._grant()
        try:
            yield slot
        finally:
            if entry.first_token is None:
                self.metrics.prefilling -= entry.prompt_tokens
            if slot.granted:
                self.metrics.running -= slot.size
                self._free += slot.size
                entry.slot_freed = monotonic()
            else:
                self.metrics.waiting -= slot.size
                self._queue.remove(slot)
            self._grant()

    def made(self, entry: Entry, tokens: int) -> None:
        """Count tokens that are made now; this runs for each token of each stream."""
        now, last, metrics = monotonic(), entry.last_token, self.metrics
        metrics.generation_tokens += tokens
        entry.tokens += tokens
        entry.last_token = now
        if last is None:
            entry.first_token = now
            metrics.prefilling -= entry.prompt_tokens
            metrics.time_to_first_token.observe(now - entry.arrived)
            self._tell(entry)
        else:
            between = metrics.inter_token_latency
            between.counts[bisect_left(between.bounds, now - last)] += 1
            between.counts[0] += tokens - 1  # the tokens that were made together
            between.total += now - last
        if entry.client_left is not None:
            entry.tokens_after_left += tokens

    def _grant(self) -> None:
        while self._queue and self._queue[0].size <= self._free:
            slot = self._queue.popleft()
            self._free -= slot.size
            slot.granted = True
            slot.entry.started = monotonic()
            self.metrics.waiting -= slot.size
            self.metrics.running += slot.size
            self.metrics.prompt_tokens += slot.entry.prompt_tokens
            self._tell(slot.entry)
            slot.wake()
