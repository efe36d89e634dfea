"""A server in a thread that answers with given bytes, and records its requests.

with Scripted(stream(delta("Hello"), delta(finish="stop"))) as server:
    ChatVllm(base_url=server.base_url, …)
"""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

DONE = b"data: [DONE]\n\n"


@dataclass
class Answer:
    """One answer: seconds before the status line and between pieces; `stalls`: no end."""

    pieces: Sequence[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    wait: float = 0.0
    gap: float = 0.0
    stalls: bool = False
    hangs_up: bool = False


@dataclass
class Request:
    """A request; its connection counts from 0, `left` is set at the disconnect."""

    target: str
    headers: dict[str, str]
    body: Any
    connection: int
    left: threading.Event = field(default_factory=threading.Event)


Choose = Callable[[Request], Answer]


class Scripted:
    """Give the answers in turn, the last for ever, or the result of a function."""

    def __init__(self, *answers: Answer | Choose) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)
        self._connections = 0
        self._lock = threading.Lock()
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with owner._lock:
                    number, owner._connections = owner._connections, owner._connections + 1
                try:
                    while owner._serve(self, number):
                        pass
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.root}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def settings(self) -> dict[str, Any]:
        """What a model of it is made of."""
        return {"base_url": self.base_url, "model": "m", "api_key": "k", "timeout": 20}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self, handler: socketserver.StreamRequestHandler, number: int) -> bool:
        line = handler.rfile.readline().decode()
        if not line.strip():
            return False
        headers: dict[str, str] = {}
        while (each := handler.rfile.readline().decode().strip()) != "":
            name, _, value = each.partition(":")
            headers[name.lower()] = value.strip()
        raw = handler.rfile.read(int(headers.get("content-length", 0)))
        request = Request(line.split()[1], headers, json.loads(raw) if raw else None, number)
        with self._lock:
            self.requests.append(request)
            answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if not isinstance(answer, Answer):
            answer = answer(request)
        time.sleep(answer.wait)
        if answer.hangs_up and not answer.pieces:
            return False
        try:
            self._write(handler, answer)
            if answer.stalls:
                handler.rfile.read(1)
        except OSError:
            request.left.set()
            raise
        if answer.stalls:
            request.left.set()
        return not (answer.stalls or answer.hangs_up)

    def _write(self, handler: socketserver.StreamRequestHandler, answer: Answer) -> None:
        head = [f"HTTP/1.1 {answer.status} X", "transfer-encoding: chunked"]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        waiting = "\r\n".join([*head, "", ""]).encode()
        for piece in answer.pieces:
            # Each piece is a chunk of HTTP, and so comes out of the client as it was cut, however many share a packet.
            waiting += b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            if answer.gap:
                handler.wfile.write(waiting)
                waiting = b""
                time.sleep(answer.gap)
        if not (answer.stalls or answer.hangs_up):
            waiting += b"0\r\n\r\n"
        handler.wfile.write(waiting)


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    """One event of a chat's stream."""
    body = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": list(choices),
        **more,
    }
    return b"data: %b\n\n" % json.dumps(body, ensure_ascii=False).encode()


def delta(content: Any = None, *, finish: str | None = None, index: int = 0, **said: Any) -> bytes:
    """One event with one choice."""
    if content is not None:
        said["content"] = content
    return chunk({"index": index, "delta": said, "finish_reason": finish})


def stream(*events: bytes, done: bool = True, **options: Any) -> Answer:
    """A stream of these events."""
    return Answer([*events, DONE] if done else [*events], **options)


def whole(content: str | None = "Hello", *, finish: str | None = "stop", **message: Any) -> Answer:
    """A chat's answer in one piece."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish,
    }
    return of_json(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


def of_json(body: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(
        [json.dumps(body).encode()], status, {"content-type": "application/json", **headers}
    )


def event(kind: str, **data: Any) -> bytes:
    """One event of the Responses API."""
    return b"event: %b\ndata: %b\n\n" % (
        kind.encode(),
        json.dumps({"type": kind, "sequence_number": 0, **data}).encode(),
    )


def response(status: str = "in_progress", **more: Any) -> dict[str, Any]:
    """What the Responses API says of a whole answer."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": status,
        **more,
    }
