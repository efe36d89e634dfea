"""The table of `stream-lab servers`: each server is asked over a bare connection, which is closed, and watched until it is free."""

import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stream_lab.experiment.attempts_run import QUESTION
from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.release import Busy, wait_while
from stream_lab.processes.backends.environments import RealServerError

LET_RUN = 1.5  # seconds an answer is let run before its client leaves
WATCHED = 10.0  # seconds after which a server that works on counts as not freed
CALMS_WITHIN = 180.0  # seconds for what was not freed to come to its own end


@dataclass(frozen=True)
class Freed:
    """One row of the table: seconds from the client's leaving to a server at rest, at most.

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
    """Cut streams and whole answers of a server, and time its release.

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
            body = {
                "model": model,
                "max_tokens": tokens,
                **settings["extra_body"],
                **(extra_body or {}),
                "stream": stream,
            }
            found.append(_cut(server, url, body, busy))
            if found[-1] is None and len(found) == 2:
                break  # twice is enough to know, and each costs what is left of its answer
    return Freed(server, version, busy.name, ways[True], ways[False])


def told(seconds: list[float | None]) -> str:
    """Return a cell of the table."""
    kept = [each for each in seconds if each is not None]
    if not kept:
        return f"**no**, worked on for {WATCHED:.0f} s and more"
    if len(kept) < len(seconds):
        return f"not always: {len(kept)} of {len(seconds)} times"
    return f"yes, within {statistics.median(kept):.2f} s (at most {max(kept):.2f})"


def table(rows: list[Freed]) -> str:
    """Return the table in Markdown."""
    head = ["| server | seen by | a stream is cut | a whole answer is cut |", "|---|---|---|---|"]
    return "\n".join(
        [
            *head,
            *(
                f"| {row.label} | {row.witness} | {told(row.stream)} | {told(row.whole)} |"
                for row in rows
            ),
        ]
    )


def _cut(server: str, url: str, body: dict[str, Any], busy: Busy) -> float | None:
    with bare_chat(
        url, {**body, "messages": [{"role": "user", "content": QUESTION}]}
    ) as connection:
        began = time.monotonic()
        _read(server, connection, until=began + LET_RUN)
        while not busy():
            if time.monotonic() > began + WATCHED:
                raise RealServerError(
                    f"{server} was not seen at work by {busy.name}, {WATCHED:g} s after it was asked."
                )
            _read(server, connection, until=time.monotonic() + 0.1)
    return wait_while(busy, patience=WATCHED, every=0.005)


@contextmanager
def bare_chat(url: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """Open a connection and ask for a chat; nothing is read.

    Leaving the block is the client's leaving.
    """
    address = urlsplit(url)
    data = json.dumps(body).encode()
    head = (
        f"POST {address.path}/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer none\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection(
        (str(address.hostname), address.port or 80), timeout=30
    ) as connection:
        connection.sendall(head.encode() + data)
        yield connection


def _read(server: str, connection: socket.socket, *, until: float) -> None:
    """Read what comes, so that the server never waits for this client."""
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
    if wait_while(busy, patience=CALMS_WITHIN, every=0.1) is None:
        raise RealServerError(f"{server} did not come to rest within {CALMS_WITHIN:.0f} s.")
