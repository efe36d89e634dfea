"""The start of a server: whether it is ready, or still at work."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil

from stream_lab.experiment.release import cpu_seconds
from stream_lab.http.client import direct_client

WINDOW = 0.05  # of the time that a start may take; in that time a server that works shows it
WORK = 0.01  # seconds of CPU time in a second, from which on a server works
WORKING = ("user", "nice", "system", "irq", "softirq", "steal")
LOOKS_EVERY = 1.0  # seconds between two looks at the server's CPU time
BUSY = 0.5  # share of the CPU, from which on other programs are the reason for a slow start


class Start:
    """A server that is not ready yet."""

    def __init__(self, address: str, log: Path, within: float, tell: Callable[[float], None]):
        """Begin to look at a start.

        Args:
            address: the address that answers 200 once the server is ready.
            log: the file with its output.
            within: seconds that a start may take on a machine without other work.
            tell: called with the seconds so far.
        """
        self._client = direct_client(timeout=5)
        self._address = address
        self._log = log
        self._window = within * WINDOW
        self._tell = tell
        self._began = time.monotonic()
        self._busy_before = _busy_seconds()
        self._process: psutil.Process | None = None
        self._spent = 0.0
        self._looked = self._began

    def has_process(self, pid: int) -> None:
        """Learn of the server's process."""
        self._process = psutil.Process(pid)

    def is_ready(self) -> bool:
        """Tell whether the server answers."""
        now = time.monotonic()
        self._tell(now - self._began)
        if now - self._looked > LOOKS_EVERY:
            self._looked = now
            self._cpu()
        try:
            return self._client.get(self._address).status_code == 200
        except httpx2.HTTPError:
            return False

    def works(self) -> bool:
        """Tell whether the server writes output or uses the CPU; this takes a while."""
        output, spent = self._log.stat().st_size, self._cpu()
        time.sleep(self._window)
        return self._log.stat().st_size > output or self._cpu() - spent > self._window * WORK

    def others(self) -> str:
        """Return a sentence about other programs.

        It is empty if they left half of the CPU or more to the server.
        """
        took = _busy_seconds() - self._busy_before - self._spent
        cores = psutil.cpu_count() or 1
        share = took / cores / max(time.monotonic() - self._began, 0.1)
        if share < BUSY:
            return ""
        return (
            f" Other programs took {min(share, 1.0) * 100:.0f} % of this machine's CPU: "
            "try again when it is less busy."
        )

    def _cpu(self) -> float:
        """Return the CPU time of the server until now, or until it ended."""
        with suppress(psutil.NoSuchProcess):
            assert self._process is not None
            self._spent = max(self._spent, cpu_seconds(self._process))
        return self._spent


def _busy_seconds() -> float:
    """Return the seconds for which the CPUs have worked since the machine started."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in WORKING)
