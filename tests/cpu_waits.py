"""How long this process and those that it started wait for a CPU."""

import os
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

_clock = time.monotonic  # tests replace that of the module


class CpuTime(NamedTuple):
    """What threads used of the CPUs, and how long they waited for one.

    Attributes:
        used: seconds of CPU time.
        waited: seconds that threads were ready to run and had no CPU.
    """

    used: float
    waited: float

    def since(self, before: "CpuTime") -> "CpuTime":
        """Return what has come since then."""
        return CpuTime(self.used - before.used, self.waited - before.waited)


class CpuWaits:
    """Adds up the times of all threads of this process and of its descendants.

    Linux tells both times of each thread, in `/proc/<process>/task/<thread>/schedstat`. Elsewhere
    they stay 0. What ends between two looks is lost from the first of them on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = dict(_threads())
        self._total, self._looked = CpuTime(0.0, 0.0), _clock()

    def look(self, older_than: float) -> CpuTime:
        """Return the times since the beginning.

        Args:
            older_than: seconds; a look that is not older counts once more, since one costs about a
                millisecond.
        """
        with self._lock:
            if _clock() - self._looked > older_than:
                self._add(dict(_threads()))
                self._looked = _clock()
            return self._total

    def _add(self, now: dict[str, CpuTime]) -> None:
        for thread, times in now.items():
            before = self._threads.get(thread, CpuTime(0.0, 0.0))
            if times.used < before.used:  # another thread has its number
                before = CpuTime(0.0, 0.0)
            used, waited = times.since(before)
            self._total = CpuTime(self._total.used + used, self._total.waited + waited)
        self._threads = now


def _threads(process: str = "self") -> Iterator[tuple[str, CpuTime]]:
    """Yield each thread of a process and of its descendants, by its number."""
    try:
        threads = os.listdir(f"/proc/{process}/task")
    except OSError:
        return
    for thread in threads:
        folder = f"/proc/{process}/task/{thread}"
        try:
            with open(f"{folder}/schedstat", encoding="ascii") as file:
                used, waited, _ = file.read().split()
            with open(f"{folder}/children", encoding="ascii") as file:
                children = file.read().split()
        except (OSError, ValueError):  # it has ended
            continue
        yield thread, CpuTime(int(used) / 1e9, int(waited) / 1e9)
        for child in children:
            yield from _threads(child)
