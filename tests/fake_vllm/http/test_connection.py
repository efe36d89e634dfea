"""HTTP below the answers: pipelining, limits, slow and broken requests, clients that do not read."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import ask, read

GET = b"GET /version HTTP/1.1\r\nhost: x\r\n%b\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=2", gap=0, request_seconds=0.5, max_body_mb=0.1) as fake:
        yield fake


@contextmanager
def connect(fake: FakeVllm) -> Iterator[socket.socket]:
    address = urlsplit(fake.base_url)
    with socket.create_connection(
        (str(address.hostname), address.port or 0), timeout=5
    ) as connection:
        yield connection


def test_a_connection_serves_one_request_after_another(server: FakeVllm) -> None:
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(GET % b"")
            assert read(connection, until=b'"}')[1] == b'{"version":"0.32.0"}'


def test_pipelined_requests_are_answered_in_order(server: FakeVllm) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()
    with connect(server) as connection:
        connection.sendall(POST % (len(body), body) + GET % b"" + GET % b"connection: close\r\n")
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert got.index(b"chat.completion") < got.index(b'{"version"')


def test_a_thousand_pipelined_requests_are_no_recursion(server: FakeVllm) -> None:
    with connect(server) as connection:
        connection.sendall(GET % b"" * 999 + GET % b"connection: close\r\n")
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert got.count(b'{"version":"0.32.0"}') == 1000


def test_connection_close_is_obeyed_and_sent_where_uvicorn_sends_it(server: FakeVllm) -> None:
    with connect(server) as connection:
        connection.sendall(GET % b"connection: close\r\n")
        head, _ = read(connection)
    assert [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]] == [
        *(b"date", b"server", b"content-length", b"content-type", b"vary", b"connection")
    ]


def test_http_1_0_gets_an_answer_and_the_end_of_the_connection(server: FakeVllm) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        head, body = read(connection)
    assert (head[:15], body) == (b"HTTP/1.1 200 OK", b'{"version":"0.32.0"}')


def test_an_idle_connection_is_closed_after_five_seconds(server: FakeVllm) -> None:
    with connect(server) as connection:
        connection.settimeout(30)
        connection.sendall(GET % b"")
        began = time.monotonic()
        while connection.recv(65536):
            pass
    assert 4.5 < time.monotonic() - began < 20


def test_a_request_that_is_not_http_is_refused_as_uvicorn_does(server: FakeVllm) -> None:
    with connect(server) as connection:
        connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        head, body = read(connection)
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert body == b"Invalid HTTP request received."


def test_an_upgrade_is_ignored_and_the_request_answered(server: FakeVllm) -> None:
    with connect(server) as connection:
        connection.sendall(GET % b"connection: upgrade\r\nupgrade: h2c\r\n")
        assert read(connection, until=b'"}')[1] == b'{"version":"0.32.0"}'


def test_expect_100_continue_is_answered(server: FakeVllm) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()
    head, _, _ = (POST % (len(body), b"")).partition(b"\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b"chat.completion" in read(connection, until=b'"metrics":null}')[1]


@pytest.mark.parametrize(
    ("sent", "says"), [(b"", b""), (b"POST /v1/chat", b"408"), (POST % (100, b'{"mess'), b"408")]
)
def test_an_incomplete_request_is_not_awaited_for_ever(
    sent: bytes, says: bytes, server: FakeVllm
) -> None:
    with connect(server) as connection:
        began = time.monotonic()
        connection.sendall(sent)
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert says in got
    assert 0.4 < time.monotonic() - began < 10


def test_a_request_that_drips_gets_no_more_time(server: FakeVllm) -> None:
    with connect(server) as connection:
        began = time.monotonic()
        try:
            for byte in POST % (1000, b""):
                connection.sendall(bytes([byte]))
                time.sleep(0.05)  # all of them take six seconds and more
        except OSError:
            pass
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused_in_vllms_form_and_the_connection_closed(
    chunked: bool, server: FakeVllm
) -> None:
    body = b'{"messages":"' + b"x" * 200_000 + b'"}'
    with connect(server) as connection:
        if chunked:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            connection.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        else:
            connection.sendall(POST % (len(body), body))
        head, answer = read(connection)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head  # or a client would send its next request into nowhere
    assert json.loads(answer)["error"]["code"] == 413


def test_a_huge_head_is_refused(server: FakeVllm) -> None:
    with connect(server) as connection:
        connection.sendall(GET % (b"x-filler: " + b"x" * 70_000 + b"\r\n"))
        assert read(connection)[0].startswith(b"HTTP/1.1 431 ")


def test_a_client_that_does_not_read_costs_no_memory_and_delays_no_other() -> None:
    with FakeVllm("endless", gap=0) as fake, ask(fake, "endless"), ask(fake, "endless"):
        process = psutil.Process(fake.pid)
        made = -1
        while made < (
            made := fake.requests[-1].tokens
        ):  # it fills what the kernel buffers, and one event more
            time.sleep(0.5)
        before = process.memory_info().rss
        time.sleep(1.0)
        assert process.memory_info().rss - before < 2_000_000
        assert fake.requests[-1].tokens == made  # unpaced, the engine waits for the client
        assert sum(process.cpu_percent(0.3) for _ in range(1)) < 50


def test_a_paced_engine_goes_on_for_a_slow_client_and_merges_the_missed_tokens() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    with FakeVllm("endless", gap=0.0001) as fake, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = urlsplit(fake.base_url)
        client.connect((str(address.hostname), address.port or 0))
        client.sendall(POST % (len(body), body))
        fake.wait_for(lambda entry: entry.tokens * 200 > entry.bytes + 1_000_000, timeout=30)
        event = b""
        while got := client.recv(65536):
            *whole, rest = (event + got).split(b"data: ")
            if any(said.count(b" ") > 1000 for said in whole):
                return
            event = rest
    pytest.fail("no event holds what was merged")
