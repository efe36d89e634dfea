"""A server that answers each path as its behaviour says, whatever HTTP allows."""

import base64
import hashlib
import json
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, repeat
from time import sleep

Bytes = Iterator[bytes]
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"content-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
ESC = "\x1b]0;owned\x07\x1b[2J"
BIDI = "\u202e"
FORGED = "\nhealthy (sure)."
EVIL = f"{ESC}{BIDI}{FORGED}\r\x9b31m[/x][bold]"
"""Text that would act on a terminal, forge a line, or be markup."""
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
DEEP = b"[" * 100_000 + b"]" * 100_000


@dataclass(frozen=True)
class Behaviour:
    """What a model's server answers.

    Attributes:
        chat: the bytes of the answer to a chat completion, by the request's head.
        models: those of /models.
        metrics: those of /metrics.
    """

    chat: Callable[[bytes], Bytes]
    models: Callable[[bytes], Bytes]
    metrics: Callable[[bytes], Bytes]


def whole(
    body: bytes, *, status: str = "200 OK", headers: bytes = b"content-type: application/json\r\n"
) -> Callable[[bytes], Bytes]:
    """An answer in one piece."""
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n".encode()
    return lambda _: iter([head + headers + b"\r\n" + body])


def said(*parts: bytes) -> Callable[[bytes], Bytes]:
    """These bytes, and then the end of the connection."""
    return lambda _: iter(parts)


def endless(start: bytes, again: bytes, every: float = 0.0) -> Callable[[bytes], Bytes]:
    """A beginning, and then the same bytes for ever, every N seconds."""

    def answer(_: bytes) -> Bytes:
        yield start
        for each in repeat(again):
            sleep(every)
            yield each

    return answer


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def events(*bodies: object) -> Callable[[bytes], Bytes]:
    """A whole stream of events; text that is not JSON is sent as it is."""
    data = "".join(
        f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in bodies
    )
    body = data.encode("utf-8", "surrogatepass")
    return said(STREAM + CHUNKED + chunk(body) + b"0\r\n\r\n")


def frame(data: bytes, opcode: int = 1) -> bytes:
    """A frame of a WebSocket; 1 is text, 8 a close."""
    return bytes([0x80 | opcode, 127]) + len(data).to_bytes(8) + data


def websocket(start: bytes, again: bytes = b"", headers: bytes = b"") -> Callable[[bytes], Bytes]:
    """A WebSocket that sends some frames, and then the same ones for ever."""

    def answer(head: bytes) -> Bytes:
        key = head.lower().partition(b"sec-websocket-key: ")[0]
        key = head[len(key) :].split(b": ", 1)[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        yield b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        yield headers + b"sec-websocket-accept: " + accept + b"\r\n\r\n" + start
        yield from repeat(again) if again else ()

    return answer


def token(text: object = "a", **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **more}]}


def bomb(megabytes: int) -> bytes:
    """Gzip that unpacks to N megabytes of zeros; its end is missing."""
    packer = zlib.compressobj(9, wbits=31)
    first, again = (
        packer.compress(bytes(16_000_000)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    return first + again * (megabytes // 16)


GOOD_CHAT = events(token(), token(finish_reason="stop"), "[DONE]")
GOOD_MODELS = whole(b'{"data": [{"id": "m"}]}')
NO_METRICS = whole(b"", status="404 Not Found")
GOOD_METRICS = whole(b"vllm:num_requests_running 0\nvllm:generation_tokens_total 5\n")


def behaviour(
    chat: Callable[[bytes], Bytes] = GOOD_CHAT,
    models: Callable[[bytes], Bytes] = GOOD_MODELS,
    metrics: Callable[[bytes], Bytes] = NO_METRICS,
) -> Behaviour:
    return Behaviour(chat, models, metrics)


def _read_body(connection: socket.socket, head: bytes) -> None:
    """Read the rest of a request; closing without it would reset the connection."""
    start, _, body = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", start)
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (data := connection.recv(left)):
        left -= len(data)


@contextmanager
def serving(behaviours: Mapping[str, Behaviour]) -> Iterator[str]:
    """Serve each behaviour under /NAME/v1; yield the address without a path."""

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            _read_body(connection, head)
            path = head.split(b" ", 2)[1].decode().split("/")
            kinds = behaviours[path[1]]
            kind = {"models": kinds.models, "metrics": kinds.metrics}.get(path[-1], kinds.chat)
            for data in chain(kind(head)):
                connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
