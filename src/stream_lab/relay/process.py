"""The middle tier as a process of its own, between an ERP server and a GPU server."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

import httpx2

from stream_lab.endpoint import Endpoint, EndpointError

END_WITHIN = 4.0  # seconds; a handler that blocks its thread would keep the process for as long as it likes
READY_WITHIN = 60.0  # seconds; LangChain and FastAPI take some to load


class Relay:
    """A running AI server, `before` or `after` the repair. `url`: where it is. Stops with `close()` or with this process.

    It needs the extra "relay": FastAPI, sse-starlette, uvicorn.
    """

    def __init__(self, kind: str, gpu: Endpoint, *, hides: bool = False) -> None:
        """Start it and wait until it answers.

        `kind`: "before" or "after". `gpu`: the server of the model. `hides`: with a middleware that hides who has left.

        Raises:
            EndpointError: it does not start; with its own words.
        """
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            self._log = TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
            fd = listening.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_lab.relay.server", kind, *(["hides"] if hides else []), str(fd)],
                env={**os.environ, "BASE_URL": gpu.base_url, "MODEL": gpu.model},
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=[fd],
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        """What it has printed so far."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """Stop it, whatever it is doing."""
        with suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _wait(self) -> None:
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end:
            if self._process.poll() is not None:
                last = self.log.strip().splitlines()[-1:] or ["it said nothing"]
                raise EndpointError(f"The AI server did not start: {last[0]}")
            with suppress(httpx2.TransportError):
                httpx2.get(f"{self.url}/openapi.json", timeout=1, trust_env=False)
                return
        raise EndpointError(f"The AI server was not ready within {READY_WITHIN:g} s.")


class Caller:
    """The ERP server: asks, and may leave in the middle. `left_at`: when it did, on the clock of `time.monotonic()`."""

    def __init__(self, relay: Relay, path: str, *, timeout_ms: int | None = None, question: str = "Why?") -> None:
        """Ask. `timeout_ms`: what is said in X-Timeout-Ms; None: nothing."""
        body = json.dumps({"question": question}).encode()
        header = "" if timeout_ms is None else f"x-timeout-ms: {timeout_ms}\r\n"
        head = (
            f"POST {path} HTTP/1.1\r\nhost: ai\r\ncontent-type: application/json\r\n{header}content-length: {len(body)}\r\n\r\n"
        )
        port = int(relay.url.rpartition(":")[2])
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._connection.sendall(head.encode() + body)
        self.left_at: float | None = None

    def leave(self) -> float:
        """Close the connection, as a client does whose patience has ended; returns when."""
        self.left_at = time.monotonic()
        self._connection.close()
        return self.left_at

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._connection.close()
