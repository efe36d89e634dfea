"""Sleepers beside the calls: when the event loop, or the whole process, stood still."""

import asyncio
import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from stream_lab.background import Background

EVERY = 0.005  # seconds that a sleeper sleeps
AROUND = 1.0  # seconds around a time in which a standstill still tells of a busy machine
ASKS_EVERY = 0.05  # seconds between two questions to a server
READS_EVERY = 0.05  # seconds between two looks at how long threads have waited for a CPU
HAND_OVERS = 10
"""How often a sleeper in a thread gives up the interpreter when it wakes.

A call in a thread does so at its end: the watchdog wakes and shuts the connection down, the caller
wakes, closes it and takes locks. Each time, the other threads may take their turns first. Beside
one thread that computes, in turns of 20 ms, such a call ended 2 to 13 turns late, and one with an
event loop of its own, which it also closes, 10 to 30.
"""
NOTED = 0.002  # seconds of lateness from which on it is kept


class Lag:
    """The moments at which a sleeper was late."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        self._lates: list[float] = []

    def note(self, due: float, now: float) -> None:
        """Note when the sleeper was due, and when it woke."""
        if now - due > NOTED:
            self._lates.append(now - due)
            self._ends.append(now)

    def between(self, start: float, end: float) -> float:
        """Return for how many of these seconds the sleeper was late."""
        total = 0.0
        for position in range(bisect_left(self._ends, start), len(self._ends)):
            until, late = self._ends[position], self._lates[position]
            if until - late > end:
                break
            total += max(0.0, min(end, until) - max(start, until - late))
        return total

    def worst(self, start: float, end: float) -> float:
        """Return the longest standstill that touches this time or the second around it."""
        first = bisect_left(self._ends, start - AROUND)
        late = 0.0
        for position in range(first, len(self._ends)):
            if self._ends[position] - self._lates[position] > end + AROUND:
                break
            late = max(late, self._lates[position])
        return late

    def explains(self, start: float, end: float, times: int = 1) -> float:
        """Return how many of these seconds a standstill explains.

        What made the sleeper late at one moment may make another thread late a moment later.

        Args:
            start: of the time.
            end: of the time.
            times: how many such standstills may come one after the other.
        """
        return max(self.between(start, end), times * self.worst(start, end))

    def longest(self) -> float:
        """Return the longest standstill, in seconds; 0: there was none."""
        return max(self._lates, default=0.0)

    def take(self) -> list[tuple[float, float]]:
        """Return the standstills as pairs of their end and their length, and forget them."""
        ends, lates = self._ends, self._lates
        self._ends, self._lates = [], []
        return list(zip(ends, lates, strict=False))

    @classmethod
    def of(cls, standstills: Iterable[Sequence[float]]) -> "Lag":
        """Make one of what `take` returned, possibly in another process."""
        lag = cls()
        for end, late in sorted(map(tuple, standstills)):
            lag.note(end - late, end)
        return lag


class ThreadSleeper(Background):
    """Sleeps in a thread: late if the process or the machine stood still.

    It is as late as the end of a call in a thread; see `HAND_OVERS`.
    """

    def __init__(self) -> None:
        super().__init__("soak's sleeper")
        self.lag = Lag()

    def _run(self) -> None:
        while not self._over.is_set():
            due = time.monotonic() + EVERY
            time.sleep(EVERY)
            for _ in range(HAND_OVERS):
                time.sleep(0)
            self.lag.note(due, time.monotonic())


class Probe(ThreadSleeper):
    """Asks a server for its health; a late answer shows that it stood still.

    Args:
        root: the server's address without /v1.
    """

    def __init__(self, root: str) -> None:
        super().__init__()
        self._connection = HTTPConnection(root.removeprefix("http://"), timeout=60)

    def _run(self) -> None:
        while not self._over.wait(ASKS_EVERY):
            asked = time.monotonic()
            try:
                self._connection.request("GET", "/health")
                self._connection.getresponse().read()
            except (OSError, HTTPException):
                self._connection.close()  # the next request opens another
            self.lag.note(asked, time.monotonic())
        self._connection.close()


class CpuWait(ThreadSleeper):
    """Notes for how long a thread of this process waited for a CPU.

    A sleeper need not be late on a machine on which others want the CPU: the kernel prefers
    threads that sleep much. Only Linux tells
    (https://docs.kernel.org/scheduler/sched-stats.html, /proc/<pid>/schedstat, the second number);
    elsewhere nothing is noted.
    """

    def _run(self) -> None:
        before = _cpu_waits()
        while not self._over.wait(READS_EVERY):
            now, waits = time.monotonic(), _cpu_waits()
            most = max((wait - before.get(each, 0.0) for each, wait in waits.items()), default=0.0)
            self.lag.note(now - most, now)
            before = waits


def _cpu_waits() -> dict[str, float]:
    """Return for how many seconds each thread of this process has waited for a CPU."""
    waits: dict[str, float] = {}
    folder = Path("/proc/self/task")
    for thread in os.listdir(folder) if folder.exists() else ():
        try:
            numbers = (folder / thread / "schedstat").read_text(encoding="ascii").split()
        except OSError:  # the thread has ended, or the kernel does not count
            continue
        waits[thread] = int(numbers[1]) / 1e9
    return waits


async def sleep_in_loop(lag: Lag) -> None:
    """Sleep in the event loop until cancelled: late if the loop stood still."""
    while True:
        due = time.monotonic() + EVERY
        await asyncio.sleep(EVERY)
        lag.note(due, time.monotonic())
