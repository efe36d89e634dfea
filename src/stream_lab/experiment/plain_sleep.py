"""How late a plain sleep is, as a sign of a machine that stands still."""

import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

NAP = 0.1  # seconds
NAPS = 10

_sleep, _clock = time.sleep, time.monotonic  # tests replace those of the module


class PlainSleep:
    """Sleeps in a thread while the `with` block runs, and measures how late it wakes.

    Attributes:
        late: the seconds that ten sleeps of 0.1 s in a row took too long, at most. uvicorn's worker
            sleeps like this between two heartbeats.
    """

    def __init__(self) -> None:
        self.late = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plain sleep", daemon=True)

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
        latest: deque[float] = deque(maxlen=NAPS)
        while not self._over.is_set():
            began = _clock()
            _sleep(NAP)
            latest.append(_clock() - began - NAP)
            self.late = max(self.late, sum(latest))
