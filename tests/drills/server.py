"""A fake-vllm that can be killed, stopped, and started again on its port."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.drills.forks import Fork, pipe

LIFETIME = 300
STARTS_WITHIN = 60.0
ASKED_EVERY = 0.01

Entry = dict[str, Any]


class Server:
    """The process of a fake, as far as a drill needs it.

    Attributes:
        port: on which it listens, also after `restart`.
        secure: whether it speaks TLS.
    """

    def __init__(self, *flags: str, secure: bool = False) -> None:
        self.port, self.secure, self._flags = 0, secure, flags
        self._start()

    @property
    def root(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    def _start(self) -> None:
        reading, writing = pipe(duplex=False)
        flags = ["--port", str(self.port), "--lifetime", str(LIFETIME), *self._flags]
        self._process = Fork(_serve, flags, writing)
        writing.close()
        with reading:
            # The pipe is the standard output of the fake, which says where it listens.
            said = b""
            until = time.monotonic() + STARTS_WITHIN
            while b"\n" not in said and reading.poll(max(0.0, until - time.monotonic())):
                piece = os.read(reading.fileno(), 4096)
                if not piece:
                    break
                said += piece
        address = said.decode().partition("127.0.0.1:")[2].partition("/")[0]
        if not address:
            raise RuntimeError(f"The fake did not start: {said.decode()!r}")
        self.port = int(address)

    def warm(self, scenario: str) -> None:
        """Answer one request, since the first one of a process takes longer."""
        body = json.dumps(
            {"model": "fake-model", "messages": [{"role": "user", "content": "Why?"}]}
        )
        headers = {"Content-Type": "application/json", "x-fake-scenario": scenario}
        request = Request(f"{self.root}/v1/chat/completions", body.encode(), headers)
        with urlopen(request, timeout=STARTS_WITHIN) as answer:
            answer.read()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, and wait for the end if it is SIGKILL."""
        self._process.send(number)

    def restart(self) -> None:
        """Start a new process on the same port, with an empty ledger."""
        self._start()

    @property
    def entries(self) -> list[Entry]:
        """Return what the ledger has of each request for an answer, oldest first."""
        assert not self.secure, "the ledger of a fake with TLS is not read"
        with urlopen(f"{self.root}/ledger", timeout=10) as answer:
            requests: list[Entry] = json.load(answer)["requests"]
        return requests

    def wait_for(
        self, is_so: Callable[[list[Entry]], object], seconds: float
    ) -> list[Entry] | None:
        """Return the ledger once `is_so` is true of it; None: it was not within `seconds`."""
        until = time.monotonic() + seconds
        while True:
            with suppress(OSError):
                entries = self.entries
                if is_so(entries):
                    return entries
            if time.monotonic() > until:
                return None
            time.sleep(ASKED_EVERY)

    def close(self) -> None:
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _serve(flags: list[str], said: Connection) -> None:
    from fake_vllm.cli import main

    os.dup2(said.fileno(), 1)
    said.close()
    main(flags)
