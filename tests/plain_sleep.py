"""Measure how late a plain sleep is, as a sign of a busy machine."""

import threading
import time
from types import TracebackType
from typing import Self

STOOD_STILL = 0.15
"""Seconds that a sleep is late, from which on a measurement says nothing."""
NAP = 0.01

_sleep, _clock = time.sleep, time.monotonic  # tests replace those of the module


class PlainSleep:
    """Sleeps in a thread, a little at a time, and measures how late it wakes."""

    def __init__(self) -> None:
        self._over = False
        self._due = _clock() + NAP
        self._late = 0.0
        self._thread = threading.Thread(target=self._run, name="plain sleep", daemon=True)

    def start(self) -> None:
        self._due = _clock() + NAP
        self._thread.start()

    def start_anew(self) -> None:
        """Forget how late it has been."""
        self._late = 0.0

    def note(self, late: float) -> None:
        """Take the lateness of something else for its own."""
        self._late = max(self._late, late)

    @property
    def late(self) -> float:
        """Seconds that it has been late, at most, since it started anew."""
        return self._late if self._over else max(self._late, _clock() - self._due)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        while not self._over:
            self._due = _clock() + NAP
            _sleep(NAP)
            self._late = max(self._late, _clock() - self._due)
