"""The worker processes of a machine, and how a session's notebooks are stopped."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stream_lab.notebooks.worker import Worker

STOPS_WITHIN = 20.0  # seconds
LOOKS_EVERY = 0.05


class Workers:
    """Worker processes that threads share. Each runs one notebook at a time, then the next.

    Attributes:
        goes_on: Addresses of servers that go on after their clients have left, as notebooks found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: dict[Worker, str] = {}
        self._stopped: set[str] = set()
        self.goes_on: set[str] = set()

    @contextmanager
    def borrow(self, session: str) -> Iterator[Worker]:
        """Lend a worker to a notebook of a session."""
        with self._lock:
            worker = self._idle.pop() if self._idle else Worker()
            self._busy[worker] = session
        try:
            yield worker
        finally:
            with self._lock:
                del self._busy[worker]
                self._idle.append(worker)

    def is_stopped(self, session: str) -> bool:
        """Return whether no notebook of this session may begin any more."""
        with self._lock:
            return session in self._stopped

    def stop(self, session: str) -> None:
        """End a session's notebooks, and let no further one begin."""
        with self._lock:
            self._stopped.add(session)
        until = time.monotonic() + STOPS_WITHIN
        while (busy := self._busy_for(session)) and time.monotonic() < until:
            for worker in busy:  # again and again: one may be about to start its process
                worker.kill()
            time.sleep(LOOKS_EVERY)

    def retire(self) -> None:
        """End the processes that wait for their next notebook."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()

    def _busy_for(self, session: str) -> list[Worker]:
        with self._lock:
            return [worker for worker, whose in self._busy.items() if whose == session]
