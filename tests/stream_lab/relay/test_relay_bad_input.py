"""The repaired AI server's answers to a faulty model server or client."""

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest

from stream_lab import Endpoint, bundled
from stream_lab.relay import Relay
from stream_lab.relay.app import PATHS

QUESTION = {"question": "Why?"}
FAILURES = {
    "down": (502, "model_unreachable"),
    "refuse:status=401,times=0": (502, "model_refused"),
    "refuse:status=503,times=0,retry_after=300": (503, "model_busy"),
    "error_event:after=0": (502, "model_failed"),
}


@pytest.fixture(scope="module", params=FAILURES)
def failing(request: pytest.FixtureRequest) -> Iterator[tuple[Relay, tuple[int, str]]]:
    """The AI server in front of a model server that fails in one way."""
    fault = request.param
    with bundled("finite" if fault == "down" else fault) as gpu, Relay("after", gpu) as relay:
        if fault == "down":
            gpu.close()
        yield relay, FAILURES[fault]


@pytest.fixture(scope="module")
def relay(fake: Endpoint) -> Iterator[Relay]:
    with Relay("after", fake) as running:
        yield running


def test_a_model_server_that_fails_is_a_status_and_a_sentence_on_every_path(
    failing: tuple[Relay, tuple[int, str]], http: httpx2.Client
) -> None:
    relay, (status, kind) = failing
    before = len(relay.log.splitlines())
    for path in PATHS:
        answer = http.post(f"{relay.url}{path}", json=QUESTION)
        assert (path, answer.status_code) == (path, status)
        error = answer.json()["error"]
        assert error["type"] == kind
        assert error["message"].endswith(".")
        assert (answer.headers.get("retry-after") == "300") == (kind == "model_busy")
    lines = relay.log.splitlines()[before:]
    assert len(lines) == len(PATHS)
    assert [line.split()[1] for line in lines] == list(PATHS)


def test_a_body_that_is_too_large_is_refused(relay: Relay, http: httpx2.Client) -> None:
    answer = http.post(f"{relay.url}/answer", json={"question": "x" * 1_000_001})
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "body_too_large"


@pytest.mark.parametrize("body", [b"", b"{", b'{"question": 3}', b"[]"])
def test_a_body_that_cannot_be_read_is_refused(
    body: bytes, relay: Relay, http: httpx2.Client
) -> None:
    assert (
        http.post(
            f"{relay.url}/answer", content=body, headers={"content-type": "application/json"}
        ).status_code
        == 422
    )


def test_a_body_that_is_never_complete_has_the_deadline_too(relay: Relay) -> None:
    head = b"POST /answer HTTP/1.1\r\nhost: ai\r\ncontent-type: application/json\r\nx-timeout-ms: 300\r\ncontent-length: 100\r\n\r\n"
    with socket.create_connection(
        ("127.0.0.1", urlsplit(relay.url).port or 0), timeout=10
    ) as connection:
        connection.sendall(head + b'{"quest')
        assert connection.recv(100).startswith(b"HTTP/1.1 504 ")


def test_a_silent_client_costs_one_socket_and_affects_no_other(
    relay: Relay, http: httpx2.Client
) -> None:
    """uvicorn has no limit for that; nginx in front has `client_header_timeout`."""
    silent = [
        socket.create_connection(("127.0.0.1", urlsplit(relay.url).port or 0), timeout=10)
        for _ in range(50)
    ]
    try:
        began = time.monotonic()
        assert http.get(f"{relay.url}/openapi.json").status_code == 200
        assert time.monotonic() - began < 5
    finally:
        for connection in silent:
            connection.close()
