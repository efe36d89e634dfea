"""Answers byte by byte, in the dialects of streams, and the server that sends them."""

import gzip
import itertools
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from tests.stream_lab.doctor.stacks import GAP

Step = bytes | float | None
"""Bytes to send, seconds to wait, or None: reset the connection."""
Answer = Callable[[int], Iterable[Step]]
"""The steps of the answer to the request of this number, counted from 0."""


@contextmanager
def listening(answer: Answer) -> Iterator[str]:
    """Serve the steps of an answer to each connection; yield the address."""
    numbers = itertools.count()
    with socket.create_server(("127.0.0.1", 0), backlog=32) as server:

        def play(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head:
                    received = connection.recv(65536)
                    if not received:
                        return
                    head += received
                for step in answer(next(numbers)):
                    if step is None:
                        now = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                        return
                    if isinstance(step, bytes):
                        connection.sendall(step)
                    else:
                        time.sleep(step)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=play, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def head(*lines: str, status: str = "200 OK", kind: str = "text/event-stream") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", *lines, "", ""]).encode()


CHUNKED = head("Transfer-Encoding: chunked", "Cache-Control: no-cache")
END = b"0\r\n\r\n"


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def flowing(parts: Iterable[bytes], gap: float = GAP) -> Iterator[Step]:
    for part in parts:
        yield chunk(part)
        yield gap


def chunked(*parts: bytes, before: bytes = CHUNKED, end: Step = END) -> Answer:
    """Send each part as a chunk, with a gap after it, and end the body."""

    def answer(_: int) -> Iterator[Step]:
        yield before
        yield from flowing(parts)
        yield end

    return answer


def page(status: str, body: str, *lines: str, kind: str = "text/html") -> Answer:
    """Send one body of known length."""
    content = body.encode()
    return lambda _: [
        head(f"Content-Length: {len(content)}", *lines, status=status, kind=kind) + content
    ]


WORDS = [b"token %d " % number for number in range(30)]
DONE = b"data: [DONE]\n\n"
DATA = [b"data: %s\n\n" % word for word in WORDS]
NAMED = [b"id: %d\nevent: token\ndata: %s\n\n" % pair for pair in enumerate(WORDS)]
LINES = [b'{"response":"%s","done":false}\n' % word for word in WORDS]

RESPONSES = [
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n',
    *[
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","sequence_number":%d,"delta":"%s"}\n\n' % pair
        for pair in enumerate(WORDS, 1)
    ],
]
ANTHROPIC = [
    b'event: message_start\ndata: {"type":"message_start","message":{"role":"assistant"}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n',
    b'event: ping\ndata: {"type":"ping"}\n\n',
    *[
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}\n\n'
        % word
        for word in WORDS
    ],
]
ANTHROPIC_END = [
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
OVERLOADED = (
    b"event: error\n"
    b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)
GEMINI = [
    *[
        b'data: {"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"}}]}\r\n\r\n'
        % word
        for word in WORDS
    ],
    b'data: {"candidates":[{"content":{"parts":[{"text":"."}]},"finishReason":"STOP"}]}\r\n\r\n',
]


def zipped(_: int) -> Iterator[Step]:
    """Compress each event at once and flush it."""
    packer = zlib.compressobj(wbits=31)
    yield head("Transfer-Encoding: chunked", "Content-Encoding: gzip")
    for event in [*DATA, DONE]:
        yield chunk(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))
        yield GAP
    yield chunk(packer.flush()) + END


def zipped_at_once(_: int) -> Iterator[Step]:
    """Compress the whole answer, and send it when it is complete."""
    yield head("Transfer-Encoding: chunked", "Content-Encoding: gzip")
    yield 1.0
    yield chunk(gzip.compress(b"".join([*DATA, DONE]))) + END


def unchunked(*parts: bytes, pause: float = 0.0) -> Answer:
    """Answer in HTTP/1.0: the body ends with the connection, `pause` seconds after the last part."""

    def answer(_: int) -> Iterator[Step]:
        yield b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        for part in parts:
            yield part
            yield GAP
        yield pause

    return answer


def measured(sent: int) -> Answer:
    """Announce the length of the whole body, and send only so many of its events."""

    def answer(_: int) -> Iterator[Step]:
        events = [*DATA, DONE]
        yield head(f"Content-Length: {sum(map(len, events))}")
        for event in events[:sent]:
            yield event
            yield GAP

    return answer


def hinted(_: int) -> Iterator[Step]:
    """Send an interim answer before the real one."""
    yield b"HTTP/1.1 103 Early Hints\r\nLink: </chat.css>; rel=preload\r\n\r\n"
    yield 0.1
    yield from chunked(*DATA, DONE)(0)


def at_the_second(number: int) -> Iterator[Step]:
    """Cut inside an event after 2 s, at another token each time."""
    began, pace = time.monotonic(), (0.03, 0.05, 0.04)[number % 3]
    yield CHUNKED
    for part in itertools.cycle(DATA):
        if time.monotonic() - began > 2:
            break
        yield chunk(part)
        yield pace
    yield chunk(b"data: tok")


def bytes_only(_: int) -> Iterator[Step]:
    """Cut after 700 bytes of the body, wherever that is."""
    content = b"".join([*DATA, *DATA, DONE])[:700]
    yield CHUNKED
    yield from flowing(content[start : start + 19] for start in range(0, len(content), 19))


def first_only(number: int) -> Iterator[Step]:
    """Reset the first stream in its middle, and answer the later ones."""
    yield from chunked(*DATA[:9], end=None)(0) if number == 0 else chunked(*DATA, DONE)(0)


def silent_forever(_: int) -> Iterator[Step]:
    """Send the pings of Anthropic's dialect and nothing else."""
    yield CHUNKED + chunk(b"".join(ANTHROPIC[:2]))
    for _ in range(100):
        yield chunk(ANTHROPIC[2])
        yield 0.2


def queued(_: int) -> Iterator[Step]:
    """Send comments for 3 s, then a healthy answer."""
    yield CHUNKED
    yield from flowing([b": in the queue\n\n"] * 10, 0.3)
    yield from flowing([*DATA, DONE])
    yield END


def in_bursts(_: int) -> Iterator[Step]:
    """Pass on ten events at a time."""
    yield CHUNKED
    events = [*ANTHROPIC, *ANTHROPIC[3:], *ANTHROPIC_END]
    for start in range(0, len(events), 16):
        yield 0.8
        yield chunk(b"".join(events[start : start + 16]))
    yield END


CLOUDFLARE = """<!DOCTYPE html><html lang="en-US"><head><title>chat.example.com | 524: A timeout occurred\
</title></head><body><h1>A timeout occurred</h1><span>Error code 524</span></body></html>"""
ALB = """<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n<center><h1>504 Gateway \
Time-out</h1></center>\r\n</body>\r\n</html>\r\n"""
BLOCKED = """<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>\
<body><h1>Sorry, you have been blocked</h1></body></html>"""
