"""The server's present work, as a page and as the Server-Sent Events behind it."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Final

from fake_vllm.api import dumps
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.http.exchange import CHUNK, Exchange
from fake_vllm.http.headers import STREAM_HEADERS

EVERY = 0.5  # seconds between two updates of running requests
HEADERS: Final = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
"""Headers of the page: it loads nothing, and no other page shows it in a frame."""


def page() -> bytes:
    """Return the page as HTML."""
    return Path(__file__).with_name("dashboard.html").read_bytes()


def stream(exchange: Exchange, ledger: Ledger, metrics: Metrics) -> None:
    """Send the ledger, then each changed request and the load, until the client disconnects."""
    Watcher(exchange, ledger, metrics).start()


class Watcher:
    """A client that watches the server.

    Requests that change while it does not read are sent when it reads again, once each.
    """

    def __init__(self, exchange: Exchange, ledger: Ledger, metrics: Metrics) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._metrics = metrics
        self._unsent: dict[int, Entry] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None

    def start(self) -> None:
        exchange, ledger = self._exchange, self._ledger
        exchange.on_gone, exchange.on_drained = self._stop, self._send_all
        exchange.write(exchange.head(200, STREAM_HEADERS, chunked=True))
        ledger.watchers.add(self._changed)
        self._unsent = {entry.number: entry for entry in ledger}
        self._look()

    def _changed(self, entry: Entry) -> None:
        self._unsent[entry.number] = entry
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._send_all)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._look)
        self._unsent |= {entry.number: entry for entry in self._ledger if entry.over is None}
        metrics = self._metrics
        load = {
            "running": metrics.running,
            "waiting": metrics.waiting,
            "generation_tokens": metrics.generation_tokens,
        }
        if not self._exchange.blocked:
            self._send("load", {"now": monotonic(), **load})
        self._send_all()

    def _send_all(self) -> None:
        self._soon = None
        while self._unsent and not self._exchange.blocked:
            number = next(iter(self._unsent))
            self._send("request", asdict(self._unsent.pop(number)))

    def _send(self, name: str, value: object) -> None:
        event = f"event: {name}\n".encode() + b"data: " + dumps(value) + b"\n\n"
        self._exchange.write(CHUNK % (len(event), event))

    def _stop(self) -> None:
        self._ledger.watchers.discard(self._changed)
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
