"""The middle tier as a process, between an ERP server and a GPU server."""

import json
import socket
import time
from typing import Any, Self
from urllib.parse import urlsplit

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.extras import require
from stream_lab.processes.ports import answers
from stream_lab.processes.process import Process


class Relay(Process):
    """A running AI server, before or after the repair, with its address in `url`.

    It stops with `close()` or with this process, and needs the extra "relay": FastAPI,
    sse-starlette, uvicorn.
    """

    def __init__(self, kind: str, gpu: Endpoint, *, hides: bool = False) -> None:
        """Start the server and wait until it answers.

        Args:
            kind: "before" or "after".
            gpu: the server of the model.
            hides: whether to add a middleware that hides the client's disconnect.

        Raises:
            ProcessError: the server does not start; the text has its last line.
        """
        require("fastapi", "sse_starlette", "uvicorn", extra="relay")
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            hiding, fd = ["hides"] if hides else [], str(listening.fileno())
            super().__init__(
                "The AI server",
                ["stream_lab.relay.server", kind, *hiding, fd],
                lambda: answers(f"{self.url}/openapi.json"),
                env={"BASE_URL": gpu.base_url, "MODEL": gpu.model},
                sockets=[listening],
                warm=True,
            )


class Connection:
    """A client that sends one request, and may disconnect in the middle of the answer.

    Attributes:
        left_at: when it disconnected, on the clock of `time.monotonic()`. None: it did not.
    """

    def __init__(self, url: str, request: bytes) -> None:
        """Send the request to the server at `url`."""
        port = int(url.rpartition(":")[2].partition("/")[0])
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._connection.sendall(request)
        self.left_at: float | None = None

    def leave(self) -> float:
        """Close the connection, as an impatient client does, and return the time."""
        self.left_at = time.monotonic()
        self._connection.close()
        return self.left_at

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._connection.close()


class Caller(Connection):
    """The ERP server, which asks the relay a question."""

    def __init__(
        self, relay: Relay, path: str, *, timeout_ms: int | None = None, question: str = "Why?"
    ) -> None:
        """Send the request.

        Args:
            relay: the AI server.
            path: the path of the request.
            timeout_ms: the value of the header X-Timeout-Ms. None: no such header.
            question: the question in the body.
        """
        body = json.dumps({"question": question}).encode()
        header = "" if timeout_ms is None else f"x-timeout-ms: {timeout_ms}\r\n"
        head = (
            f"POST {path} HTTP/1.1\r\nhost: ai\r\ncontent-type: application/json\r\n{header}"
            f"content-length: {len(body)}\r\n\r\n"
        )
        super().__init__(relay.url, head.encode() + body)


class Visitor(Connection):
    """A client of any handler, over HTTP or a WebSocket."""

    def __init__(self, url: str, *, websocket: bool = False) -> None:
        """Send a GET.

        Args:
            url: the address of the handler.
            websocket: whether to open a WebSocket.
        """
        upgrade = (
            "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"  # RFC 6455's own example
        )
        path = urlsplit(url).path
        head = f"GET {path} HTTP/1.1\r\nhost: ai\r\n{upgrade if websocket else ''}\r\n"
        super().__init__(url, head.encode())
