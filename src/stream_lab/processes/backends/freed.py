"""Does cutting the client free the server? Asked with a bare connection that is closed, and a witness that looks at the server."""

import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil

from stream_lab.experiment.attempts_run import QUESTION
from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.witness import Witness
from stream_lab.processes.backends.environments import RealServerError

LET_RUN = 1.5  # seconds an answer is let run before its client leaves
WATCHED = 10.0  # seconds after which a server that works on counts as not freed
CALMS_WITHIN = 180.0  # seconds for what was not freed to come to its own end
WINDOW = 0.2  # seconds over which CPU time is measured


class Busy(Protocol):
    """Whether a server is at work. name: of this witness, in words."""

    name: str

    def __call__(self) -> bool: ...


class Gauges:
    """vLLM's own: its number of running requests."""

    def __init__(self, root: str, name: str = "its /metrics") -> None:
        self.name = name
        self._witness = Witness(root)

    def __call__(self) -> bool:
        sample = self._witness.poll()
        return sample is None or sample.running > 0


class CpuTime:
    """What the server's processes take of the CPU, for servers that tell nothing themselves."""

    name = "its CPU time"

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most = 0.0

    def __call__(self) -> bool:
        """Over the last fifth of a second, more than a quarter of the most that was ever seen."""
        before, began = self._spent(), time.monotonic()
        time.sleep(WINDOW)
        cores = (self._spent() - before) / (time.monotonic() - began)
        self._most = max(self._most, cores)
        return cores > max(self._most / 4, 0.05)

    def _spent(self) -> float:
        total = 0.0
        process = psutil.Process(self._pid)
        for each in (process, *process.children(recursive=True)):
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total


@dataclass(frozen=True)
class Freed:
    """One row of the table. Seconds from the client's leaving until the server was seen at rest, so that long at most.

    None: it worked on for WATCHED seconds.
    """

    server: str
    version: str
    witness: str
    stream: list[float | None]
    whole: list[float | None]

    @property
    def label(self) -> str:
        """With its version, which is the proxy's where there are two."""
        first, comma, rest = self.server.partition(",")
        return f"{first} {self.version}".rstrip() + comma + rest

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "version": self.version,
            "witness": self.witness,
            "stream": self.stream,
            "whole": self.whole,
        }


def try_out(
    server: str,
    version: str,
    url: str,
    model: str,
    busy: Busy,
    *,
    repeats: int = 5,
    tokens: int = 5000,
    extra_body: dict[str, Any] | None = None,
) -> Freed:
    """Cut streams and whole answers of a server.

    `tokens`: what is asked for at most, so that nothing runs for ever. `extra_body`: what requests say besides; None: nothing.

    Raises:
        RealServerError: it refuses the request, or was never seen at work.
    """
    with Endpoint(url, model) as endpoint:
        settings = endpoint.settings
    ways: dict[bool, list[float | None]] = {True: [], False: []}
    for stream, found in ways.items():
        for _ in range(repeats):
            _calm(server, busy)
            body = {"model": model, "max_tokens": tokens, **settings["extra_body"], **(extra_body or {}), "stream": stream}
            found.append(_cut(server, url, body, busy))
            if found[-1] is None and len(found) == 2:
                break  # twice is enough to know, and each costs what is left of its answer
    return Freed(server, version, busy.name, ways[True], ways[False])


def told(seconds: list[float | None]) -> str:
    """A cell of the table."""
    kept = [each for each in seconds if each is not None]
    if not kept:
        return f"**no**, worked on for {WATCHED:.0f} s and more"
    if len(kept) < len(seconds):
        return f"not always: {len(kept)} of {len(seconds)} times"
    return f"yes, within {statistics.median(kept):.2f} s (at most {max(kept):.2f})"


def table(rows: list[Freed]) -> str:
    """In Markdown."""
    head = ["| server | seen by | a stream is cut | a whole answer is cut |", "|---|---|---|---|"]
    return "\n".join(
        [
            *head,
            *(f"| {row.label} | {row.witness} | {told(row.stream)} | {told(row.whole)} |" for row in rows),
        ]
    )


def _cut(server: str, url: str, body: dict[str, Any], busy: Busy) -> float | None:
    with asked(url, {**body, "messages": [{"role": "user", "content": QUESTION}]}) as connection:
        began = time.monotonic()
        _read(server, connection, until=began + LET_RUN)
        while not busy():
            if time.monotonic() > began + WATCHED:
                raise RealServerError(f"{server} was not seen at work by {busy.name}, {WATCHED:g} s after it was asked.")
            _read(server, connection, until=time.monotonic() + 0.1)
    left = time.monotonic()
    while time.monotonic() < left + WATCHED:
        if not busy():
            return time.monotonic() - left
        time.sleep(0.005)
    return None


@contextmanager
def asked(url: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection on which a chat has been asked for, and nothing been read: leaving the block is the client's leaving."""
    address = urlsplit(url)
    data = json.dumps(body).encode()
    head = (
        f"POST {address.path}/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer none\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection((str(address.hostname), address.port or 80), timeout=30) as connection:
        connection.sendall(head.encode() + data)
        yield connection


def _read(server: str, connection: socket.socket, *, until: float) -> None:
    """Read what comes, so that nobody has to wait for this client."""
    first = b""
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            data = connection.recv(65536)
        except TimeoutError:
            return
        first = first or data
        if not data or (first.startswith(b"HTTP/1.1 ") and first[9:12] != b"200"):
            raise RealServerError(f"{server} refuses: {first.decode(errors='replace')[:300]}")


def _calm(server: str, busy: Callable[[], bool]) -> None:
    until = time.monotonic() + CALMS_WITHIN
    while busy():
        if time.monotonic() > until:
            raise RealServerError(f"{server} did not come to rest within {CALMS_WITHIN:.0f} s.")
        time.sleep(0.1)
