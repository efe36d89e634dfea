"""Measure how late a plain sleep is, as a sign of a busy machine."""

import threading
import time
from types import TracebackType
from typing import Self

STOOD_STILL = 0.15  # seconds that a sleep is late, from which on a measurement says nothing


class PlainSleep:
    """Sleeps in a thread, a little at a time, and records how late it wakes.

    Attributes:
        late: seconds that it has been late, at most.
    """

    def __init__(self) -> None:
        self.late = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            due = time.monotonic() + 0.01
            time.sleep(0.01)
            self.late = max(self.late, time.monotonic() - due)
