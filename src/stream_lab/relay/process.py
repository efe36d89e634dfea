"""The middle tier as a process of its own, between an ERP server and a GPU server."""

import json
import socket
import sys
import time
from typing import Any, Self

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.extras import require
from stream_lab.processes.ports import answers
from stream_lab.processes.process import Process


class Relay(Process):
    """A running AI server, `before` or `after` the repair. `url`: where it is. Stops with `close()` or with this process.

    It needs the extra "relay": FastAPI, sse-starlette, uvicorn.
    """

    def __init__(self, kind: str, gpu: Endpoint, *, hides: bool = False) -> None:
        """Start it and wait until it answers.

        `kind`: "before" or "after". `gpu`: the server of the model. `hides`: with a middleware that hides who has left.

        Raises:
            ProcessError: it does not start; with its own words.
        """
        require("fastapi", "sse_starlette", "uvicorn", extra="relay")
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            hiding, fd = ["hides"] if hides else [], str(listening.fileno())
            super().__init__(
                "The AI server",
                [sys.executable, "-m", "stream_lab.relay.server", kind, *hiding, fd],
                lambda: answers(f"{self.url}/openapi.json"),
                env={"BASE_URL": gpu.base_url, "MODEL": gpu.model},
                sockets=[listening],
            )


class Caller:
    """The ERP server: asks, and may leave in the middle. `left_at`: when it did, on the clock of `time.monotonic()`."""

    def __init__(
        self, relay: Relay, path: str, *, timeout_ms: int | None = None, question: str = "Why?"
    ) -> None:
        """Ask. `timeout_ms`: what is said in X-Timeout-Ms; None: nothing."""
        body = json.dumps({"question": question}).encode()
        header = "" if timeout_ms is None else f"x-timeout-ms: {timeout_ms}\r\n"
        head = f"POST {path} HTTP/1.1\r\nhost: ai\r\ncontent-type: application/json\r\n{header}content-length: {len(body)}\r\n\r\n"
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
