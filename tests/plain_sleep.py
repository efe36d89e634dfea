"""Measure how late a plain sleep is, and how long work waits for a CPU."""

import os
import threading
import time
from pathlib import Path
from typing import Self

from tests.cpu_waits import CpuTime, CpuWaits

STOOD_STILL = 0.15
"""Seconds that a sleep is late, from which on a measurement says nothing."""
CROWDED = 2.5
"""Processes that want each CPU, on average, from which on a measurement says nothing."""
SLOWED = 1.75
"""How many times as long as its CPU time work takes, from which on a measurement says nothing."""
WAITED = 0.05
"""Seconds that work waits for a CPU at least, if it was slowed."""
NAP = 0.01
COUNTS_EVERY = 5
"""Naps between two looks at the processes."""
LOOKS_EVERY = 20
"""Naps between two looks at the threads."""
LOAD = Path("/proc/loadavg")

_sleep, _clock = time.sleep, time.monotonic  # tests replace those of the module
_cpu = CpuWaits()


class PlainSleep:
    """Sleeps in a thread, a little at a time, and measures how late it wakes.

    A machine with too much to do need not make a sleep late, since Linux favours what has slept.
    So the thread counts the processes that want a CPU, too, and adds up how long the threads of this
    process and of its children wait for one.
    """

    def __init__(self) -> None:
        # Not the laboratory's `Background`: tests of the library run without the laboratory, too.
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plain sleep", daemon=True)
        self._due = _clock() + NAP
        self._late = 0.0
        self._counts: list[float] = []
        self._began = _cpu.look(NAP)
        self._ended: CpuTime | None = None
        self._others: list[PlainSleep] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def start_anew(self) -> None:
        """Forget what it and others have measured."""
        self._late = 0.0
        self._counts = []
        self._began = _cpu.look(NAP)
        self._others = []

    def note(self, late: float) -> None:
        """Take the lateness of something else for its own."""
        self._late = max(self._late, late)

    def also(self, other: "PlainSleep") -> None:
        """Be as busy as another one was, if that is more."""
        self._others.append(other)

    @property
    def late(self) -> float:
        """Seconds that it has been late, at most, since it started anew."""
        return self._late if self._over.is_set() else max(self._late, _clock() - self._due)

    @property
    def crowd(self) -> float:
        """Processes that wanted each CPU, on average, since it started anew; 0: not known."""
        counts = self._counts
        return sum(counts) / len(counts) if counts else 0.0

    @property
    def cpu(self) -> CpuTime:
        """What threads have used of the CPUs since it started anew, and waited for."""
        return (self._ended or _cpu.look(NAP)).since(self._began)

    @property
    def busy(self) -> str:
        """How busy the machine has been, as a sentence; empty if it was not."""
        if (late := self.late) >= STOOD_STILL:
            return f"The machine stood still for {late:.1f} s."
        if (crowd := self.crowd) >= CROWDED:
            return f"{crowd:.1f} processes wanted each CPU."
        used, waited = self.cpu
        if waited >= WAITED and used + waited >= SLOWED * used:
            return f"Work that takes {used:.2f} s of a CPU waited for one for {waited:.2f} s more."
        return next((busy for other in self._others if (busy := other.busy)), "")

    def _run(self) -> None:
        naps = 0
        while not self._over.is_set():
            self._due = _clock() + NAP
            _sleep(NAP)
            self._late = max(self._late, _clock() - self._due)
            naps += 1
            if naps % COUNTS_EVERY == 0 and (running := _running()) is not None:
                self._counts.append(running / (os.cpu_count() or 1))
            if naps % LOOKS_EVERY == 0:
                _cpu.look(LOOKS_EVERY * NAP)
        self._ended = _cpu.look(NAP)


def _running() -> int | None:
    """Return how many other processes want a CPU; None: this system does not tell."""
    try:
        return int(LOAD.read_text(encoding="ascii").split()[3].partition("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        return None
