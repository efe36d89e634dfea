"""Whether a server releases a request after its client has disconnected.

Every tool that needs to know waits with `wait_while` and reads the same witnesses: the server's
metrics, or its CPU time where it shows none.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psutil

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.witness import Sample, Witness

FREES_WITHIN = 1.5  # seconds; a real vLLM on a busy CPU needed up to 0.2
BEGINS_WITHIN = (
    3.0  # seconds for a request to reach the server; after that the client leaves anyway
)
WINDOW = 0.2  # seconds over which CPU time is measured
STOPPED, GOES_ON = "stopped", "still generating"
UNREAD = Unknown("the server's metrics could not be read")
NOT_RUNNING = Unknown("it was not running when the client disconnected")


@dataclass(frozen=True)
class Release:
    """One request whose client disconnected. Times are in seconds since it was sent.

    Attributes:
        left: when the client disconnected.
        freed: when the server no longer ran the request. None: it ran it until the watch ended.
        watched: when the watch ended.
        tokens: what the server made after the disconnect, for all its requests.
        server: what became of the request, in words.
    """

    left: float
    freed: float | None
    watched: float
    tokens: int
    server: str


class Busy(Protocol):
    """A witness of a server's work; calling it returns whether the server is busy.

    Attributes:
        name: the witness, in words.
    """

    name: str

    def __call__(self) -> bool: ...


class Gauges:
    """A witness that reads vLLM's own number of running requests."""

    def __init__(self, root: str, name: str = "its /metrics") -> None:
        self.name = name
        self._witness = Witness(root)

    def __call__(self) -> bool:
        sample = self._witness.poll()
        return sample is None or sample.running > 0


class CpuTime:
    """A witness for servers that show no metrics: the CPU time of their processes."""

    name = "its CPU time"

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._most = 0.0

    def __call__(self) -> bool:
        """Return whether the processes are busy.

        They are if the last 0.2 s took more than a quarter of the highest rate so far.
        """
        before, began = cpu_seconds(self._process), time.monotonic()
        time.sleep(WINDOW)
        cores = (cpu_seconds(self._process) - before) / (time.monotonic() - began)
        self._most = max(self._most, cores)
        return cores > max(self._most / 4, 0.05)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and its children, in seconds.

    Raises:
        psutil.NoSuchProcess: the process has ended, and was waited for.
    """
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def wait_while(
    condition: Callable[[], bool], *, patience: float = FREES_WITHIN, every: float = 0.01
) -> float | None:
    """Wait while a condition holds: until a server is at rest, or until it works.

    Args:
        condition: whether to keep waiting.
        patience: seconds after which to give up.
        every: seconds between two checks.

    Returns:
        Seconds waited. None: the condition held all the time.
    """
    began = time.monotonic()
    while time.monotonic() < began + patience:
        if not condition():
            return time.monotonic() - began
        time.sleep(every)
    return None


def watch_release(
    gpu: Endpoint, ask: Callable[[], Callable[[], object]], *, after: float, watch: float
) -> Release:
    """Send a request, disconnect, and watch the server until it stops.

    Args:
        gpu: the server to watch.
        ask: sends the request without waiting for the answer, and returns a function that
            disconnects the client.
        after: seconds after which the client disconnects, once the server runs the request.
        watch: seconds after which the watch ends if the server has not stopped.
    """
    with Witness(gpu.root, every=0.02) as witness:
        running = witness.samples[0].running if witness.samples else 0
        asked = time.monotonic()
        leave = ask()
        # On a busy machine, or with a browser that is still starting, sending can take long.
        wait_while(lambda: witness.is_idle(running), patience=BEGINS_WITHIN)
        time.sleep(after)
        left = time.monotonic()
        leave()
        wait_while(lambda: not witness.is_idle(running, since=left), patience=watch)
        ended = time.monotonic()
    return judge(witness.samples, running, asked=asked, left=left, ended=ended)


def judge(
    samples: list[Sample], running: int, *, asked: float, left: float, ended: float
) -> Release:
    """Judge a release by a server's metrics. Times are those of `time.monotonic()`.

    Args:
        samples: samples from before and after the disconnect.
        running: how many requests ran before this one.
        asked: when the request was sent.
        left: when its client disconnected.
        ended: when the watch ended.
    """
    before = [sample for sample in samples if asked < sample.at <= left]
    later = [sample for sample in samples if sample.at > left]
    freed = next((sample.at - asked for sample in later if sample.running <= running), None)
    tokens = later[-1].tokens - before[-1].tokens if before and later else 0
    if not before or not later:
        server: str = UNREAD
    elif before[-1].running <= running:
        server = NOT_RUNNING
    else:
        server = GOES_ON if freed is None else STOPPED
    return Release(left - asked, freed, ended - asked, tokens, server)
