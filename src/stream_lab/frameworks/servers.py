"""Servers that misbehave, one for each cell that is being played."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Protocol, Self

from stream_lab.errors import LabError
from stream_lab.experiment.fake import Fake
from stream_lab.http.client import direct_client

FINE = "finite:tokens=2"
"""What a server plays until the player has warmed up."""
GAP = 0.02  # seconds
LIFETIME = 7200.0  # seconds, as a last resort


class ServerError(LabError):
    """Raised when the scripted server does not start."""


class Server(Protocol):
    """A running server.

    Attributes:
        root: its address.
    """

    root: str

    def close(self) -> None: ...


class Babbler:
    """The scripted server, for the APIs that the fake does not speak."""

    def __init__(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            ServerError: it does not start.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("babbler.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.root = self._process.stdout.readline().strip()
        if not self.root:
            raise ServerError("The scripted server did not start.")

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Pool:
    """Servers that are used again and again, each by one cell at a time."""

    def __init__(self) -> None:
        self._idle: dict[str, SimpleQueue[Server]] = {
            "fake": SimpleQueue(),
            "babbler": SimpleQueue(),
        }
        self._all: list[Server] = []

    @contextmanager
    def lend(self, kind: str, number: int) -> Iterator[list[Server]]:
        """Lend servers of a kind, which play well-behaved answers at first."""
        lent = [self._next(kind) for _ in range(number)]
        try:
            for server in lent:
                play(server, FINE)
            yield lent
        finally:
            for server in lent:
                self._idle[kind].put(server)

    def _next(self, kind: str) -> Server:
        try:
            return self._idle[kind].get_nowait()
        except Empty:
            new: Server = (
                Babbler()
                if kind == "babbler"
                else Fake(FINE, gap=GAP, lifetime=LIFETIME, max_num_seqs=100)
            )
            self._all.append(new)
            return new

    def close(self) -> None:
        """Stop all of them."""
        for server in self._all:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def play(server: Server, scenario: str) -> None:
    """Change what a server plays."""
    _ask(server, "/scenario", "PUT", scenario.encode())


def requests(server: Server) -> list[dict[str, Any]]:
    """Return the server's ledger, oldest entry first."""
    entries: list[dict[str, Any]] = _ask(server, "/ledger")["requests"]
    return entries


def _ask(server: Server, path: str, method: str = "GET", body: bytes | None = None) -> Any:
    headers = {"content-type": "text/plain"}
    with direct_client(timeout=10) as http:
        answer = http.request(method, server.root + path, content=body, headers=headers)
    return answer.raise_for_status().json()
