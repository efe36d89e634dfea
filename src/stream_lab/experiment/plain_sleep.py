"""How late a plain sleep is, as a sign of a machine that stands still."""

import time
from collections import deque

from stream_lab.background import Background

NAP = 0.1  # seconds
NAPS = 10

_sleep, _clock = time.sleep, time.monotonic  # tests replace those of the module


class PlainSleep(Background):
    """Sleeps in a thread while the `with` block runs, and measures how late it wakes.

    Attributes:
        late: the seconds that ten sleeps of 0.1 s in a row took too long, at most. uvicorn's worker
            sleeps like this between two heartbeats.
    """

    def __init__(self) -> None:
        super().__init__("plain sleep")
        self.late = 0.0

    def _run(self) -> None:
        latest: deque[float] = deque(maxlen=NAPS)
        while not self._over.is_set():
            began = _clock()
            _sleep(NAP)
            latest.append(_clock() - began - NAP)
            self.late = max(self.late, sum(latest))
