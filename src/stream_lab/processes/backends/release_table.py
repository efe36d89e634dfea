"""The table of `stream-lab servers`: how soon each server is free after its client disconnects."""

import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from stream_lab.data_folders import EVIDENCE, data_folder
from stream_lab.experiment.attempts_run import QUESTION
from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.release import Busy, wait_while
from stream_lab.processes.backends.environments import RealServerError

LET_RUN = 1.5  # seconds that an answer runs before its client disconnects
WATCHED = 10.0  # seconds after which a server that is still busy counts as not freed
CALMS_WITHIN = 180.0  # seconds for a request that was not freed to end by itself


@dataclass(frozen=True)
class Freed:
    """One row of the table: seconds from each disconnect to a server at rest.

    None: the server was still busy after WATCHED seconds. `day` is that of the trial, as
    "2026-11-27".
    """

    server: str
    version: str
    witness: str
    stream: list[float | None]
    whole: list[float | None]
    day: str = field(default_factory=lambda: str(datetime.now(UTC).date()))

    @property
    def label(self) -> str:
        """Return the server's name with its version, or with the proxy's if there is one."""
        first, comma, rest = self.server.partition(",")
        return f"{first} {self.version}".rstrip() + comma + rest

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "version": self.version,
            "witness": self.witness,
            "stream": self.stream,
            "whole": self.whole,
            "day": self.day,
        }


def kept(server: str) -> Freed:
    """Return the row of a server that the package carries.

    It is one of those that `stream-lab servers --json` printed.

    Args:
        server: the server's name, such as "vLLM".

    Raises:
        DataError: the installation lacks its evidence.
        LookupError: there is no row of this server.
    """
    file = data_folder(EVIDENCE) / "servers" / "results.json"
    rows = [Freed(**each) for each in json.loads(file.read_text(encoding="utf-8"))]
    try:
        return next(row for row in rows if row.server == server)
    except StopIteration:
        raise LookupError(f"no row of {server} has been kept") from None


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
    """Disconnect from streams and whole answers of a server, and time its release.

    Args:
        server: the server's name.
        version: its version.
        url: its address, which ends in /v1.
        model: the name of its model.
        busy: the witness of its work.
        repeats: how often to disconnect, for streams and for whole answers.
        tokens: the most tokens to request, so that no answer runs for ever.
        extra_body: further fields of the requests. None: no fields.

    Raises:
        RealServerError: the server refuses the request, or was never busy.
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
                break  # two are enough to know, and each costs the rest of its answer
    return Freed(server, version, busy.name, ways[True], ways[False])


def cell(seconds: list[float | None]) -> str:
    """Return the text of a cell of the table."""
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
                f"| {row.label} | {row.witness} | {cell(row.stream)} | {cell(row.whole)} |"
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
                    f"{server} was not busy according to {busy.name}, "
                    f"{WATCHED:g} s after the request; look at its log."
                )
            _read(server, connection, until=time.monotonic() + 0.1)
    return wait_while(busy, patience=WATCHED, every=0.005)


@contextmanager
def bare_chat(url: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """Open a connection and request a chat completion, without reading the answer.

    The client disconnects at the end of the block.
    """
    address = urlsplit(url)
    data = json.dumps(body).encode()
    head = (
        f"POST {address.path}/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\n"
        "authorization: Bearer none\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection(
        (str(address.hostname), address.port or 80), timeout=30
    ) as connection:
        connection.sendall(head.encode() + data)
        yield connection


def _read(server: str, connection: socket.socket, *, until: float) -> None:
    """Read what arrives, so that the server never waits for this client."""
    first = b""
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            data = connection.recv(65536)
        except TimeoutError:
            return
        first = first or data
        if not data or (first.startswith(b"HTTP/1.1 ") and first[9:12] != b"200"):
            raise RealServerError(
                f"{server} refuses the request: {first.decode(errors='replace')[:300]}"
            )


def _calm(server: str, busy: Callable[[], bool]) -> None:
    if wait_while(busy, patience=CALMS_WITHIN, every=0.1) is None:
        raise RealServerError(
            f"{server} did not come to rest within {CALMS_WITHIN:.0f} s; look at its log."
        )
