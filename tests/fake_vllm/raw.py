"""A raw client: each byte with its time, each HTTP chunk as it was sent."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from statistics import median
from urllib.parse import urlsplit

from fake_vllm.testing import FakeVllm

HEAD = (
    b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
)


@contextmanager
def ask(
    fake: FakeVllm, scenario: str, *, path: str = "/v1/chat/completions", stream: bool = True
) -> Iterator[socket.socket]:
    """Send a request on a new connection, which the end of the block closes."""
    content: dict[str, object] = (
        {"messages": [{"role": "user", "content": "Hi"}]} if "chat" in path else {"prompt": "Hi"}
    )
    if "responses" in path:
        content = {"input": "Hi"}
    if "messages" in path:
        content = {"model": "fake-model", "messages": [{"role": "user", "content": "Hi"}]}
    limit = "max_output_tokens" if "responses" in path else "max_tokens"
    body = json.dumps(
        {**content, "stream": stream, limit: 30_000, "fake_scenario": scenario}
    ).encode()
    address = urlsplit(fake.base_url)
    with socket.create_connection(
        (str(address.hostname), address.port or 0), timeout=5
    ) as connection:
        connection.sendall(HEAD % (path.encode(), len(body)) + body)
        yield connection


def arrivals(
    connection: socket.socket, *, until: bytes = b"", seconds: float = 5.0
) -> Iterator[tuple[float, bytes]]:
    """Yield data with its time, until its end, `until`, or a silence of N seconds."""
    connection.settimeout(seconds)
    tail = b""
    try:
        while data := connection.recv(65536):
            yield time.monotonic(), data
            tail = tail[-len(until) :] + data
            if until and until in tail:
                return
    except TimeoutError:
        return


def take(connection: socket.socket, count: int) -> tuple[bytes, list[float]]:
    """What comes in so many arrivals, and when each came."""
    came = list(islice(arrivals(connection), count))
    return b"".join(data for _, data in came), [at for at, _ in came]


def usual_gap(times: list[float]) -> float:
    """The median gap between two arrivals, which one slow moment does not change."""
    return median(later - earlier for earlier, later in pairwise(times))


def read(
    connection: socket.socket, *, until: bytes = b"", seconds: float = 5.0
) -> tuple[bytes, bytes]:
    """The head and the body, of what `arrivals` gives."""
    got = b"".join(data for _, data in arrivals(connection, until=until, seconds=seconds))
    head, _, body = got.partition(b"\r\n\r\n")
    return head, body


def chunks(body: bytes) -> list[bytes]:
    """The complete chunks of a body; the last is empty if the body has ended."""
    found = []
    while (at := body.find(b"\r\n")) >= 0 and len(body) >= (end := at + 2 + int(body[:at], 16)) + 2:
        found.append(body[at + 2 : end])
        body = body[end + 2 :]
    return found


def events(body: bytes) -> list[bytes]:
    """The events of a chunked body, without the blank lines between them."""
    return b"".join(chunks(body)).split(b"\n\n")[:-1]
