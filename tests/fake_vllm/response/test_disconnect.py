"""A disconnect frees the slot at once; an endless stream needs no more memory."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from stream_lab.experiment.fake import Fake
from stream_lab.experiment.witness import RUNNING, read_metrics
from tests.conftest import ledger
from tests.fake_vllm.conftest import Certificates
from tests.fake_vllm.raw import ask

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with Fake("endless", gap=0.005) as fake:
        yield fake


def eventually(client: httpx2.Client, fake: Fake) -> dict[str, Any]:
    """The newest request, once it is over."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        entry = ledger(client, fake)[-1]
        if entry["end"] != "running":
            return entry
        time.sleep(0.02)
    pytest.fail("the request was never over")


def leave_after(seconds: float, client: httpx2.Client, url: str, body: dict[str, Any]) -> None:
    """Ask, and close the connection after N seconds of silence or of stream."""
    started = time.monotonic()
    with (
        suppress(httpx2.ReadTimeout),
        client.stream("POST", url, json=body, timeout=seconds) as answer,
    ):
        for _ in answer.iter_lines():
            if time.monotonic() - started > seconds:
                return


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "scenario", ["endless", "stall:after=1", "no_first_token", "no_headers", "keep_alive:after=1"]
)
def test_the_slot_is_free_as_soon_as_the_client_has_disconnected(
    scenario: str, stream: bool, server: Fake, http: httpx2.Client
) -> None:
    body = {**CHAT, "stream": stream, "fake_scenario": scenario}
    leave_after(0.2, http, f"{server.base_url}/chat/completions", body)
    entry = eventually(http, server)
    assert entry["end"] == "client left"
    assert entry["tokens_after_left"] == 0
    assert 0 <= entry["slot_freed"] - entry["client_left"] < 2


ODD = [
    "empty_deltas:after=1",
    "half_event:after=1",
    "endless+burst",
    "endless+trickle",
    "endless+trickle_headers",
]
ENDED = ["finite:tokens=2+linger", "finite:tokens=2+trickle:bytes=64,every=0.001+linger"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("scenario", [*ODD, *ENDED])
def test_a_disconnect_is_seen_within_20_ms_for_every_kind_of_answer(
    scenario: str, stream: bool, server: Fake, http: httpx2.Client
) -> None:
    seen = []
    for _ in range(3):  # the best of three: the machine may be busy, the server may not
        with ask(server, scenario, stream=stream):
            time.sleep(0.1)
        closed = time.monotonic()
        entry = eventually(http, server)
        assert entry["end"] == "client left"
        assert entry["tokens_after_left"] == 0
        seen.append(max(entry["client_left"], entry["slot_freed"]) - closed)
        assert (entry["slot_freed"] > entry["client_left"]) == (scenario in ODD)
    assert min(seen) < 0.02


@pytest.mark.parametrize(
    "scenario", ["endless", "half_event", "endless+trickle_headers:every=0.001"]
)
def test_a_disconnect_is_seen_through_tls_too(scenario: str, certificates: Certificates) -> None:
    with (
        Fake(
            scenario, gap=0.005, ssl_certfile=certificates.certificate, ssl_keyfile=certificates.key
        ) as fake,
        httpx2.Client(verify=certificates.trusting, trust_env=False) as client,
    ):
        with client.stream("POST", f"{fake.base_url}/chat/completions", json=CHAT):
            pass
        entry = eventually(client, fake)
        assert entry["end"] == "client left"
        assert 0 <= entry["slot_freed"] - entry["client_left"] < 2


@pytest.mark.parametrize("how", ["fin", "reset", "half-closed"])
def test_every_way_of_closing_is_a_disconnect(how: str, server: Fake, http: httpx2.Client) -> None:
    body = b'{"messages":[{"role":"user","content":"Hi"}],"stream":true}'
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        % len(body)
    )
    with socket.create_connection(urlsplit(server.base_url).netloc.split(":"), timeout=5) as client:  # type: ignore[arg-type]
        client.sendall(head + body)
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        if how == "half-closed":
            client.shutdown(socket.SHUT_WR)
            entry = eventually(http, server)
        elif how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert (entry if how == "half-closed" else eventually(http, server))["end"] == "client left"


def test_running_falls_and_the_abort_counter_stays_as_on_a_real_vllm(
    server: Fake, http: httpx2.Client
) -> None:
    root = server.base_url.removesuffix("/v1")
    with http.stream("POST", f"{server.base_url}/chat/completions", json=CHAT) as answer:
        lines = answer.iter_lines()  # kept: httpx closes the response when its iterator goes
        next(lines)
        assert read_metrics(http.get(f"{root}/metrics").text)[RUNNING] == 1
    eventually(http, server)
    page = http.get(f"{root}/metrics").text
    assert read_metrics(page)[RUNNING] == 0
    assert (
        'vllm:request_success_total{engine="0",finished_reason="abort",model_name="fake-model"} 0.0'
        in page
    )


def test_the_ledger_can_be_cleared(server: Fake, http: httpx2.Client) -> None:
    http.post(
        f"{server.base_url}/chat/completions", json={**CHAT, "stream": False, "max_tokens": 1}
    )
    http.delete(server.base_url.removesuffix("/v1") + "/ledger")
    assert ledger(http, server) == []


def test_an_endless_stream_costs_no_memory(http: httpx2.Client) -> None:
    with Fake("endless", gap=0) as fake:
        http.get(
            f"{fake.root}/metrics"
        )  # it loads what it needs now, and not while the stream is measured
        time.sleep(1)
        with http.stream("POST", f"{fake.base_url}/chat/completions", json=CHAT) as answer:
            _read_many(answer, fake)


def _read_many(answer: httpx2.Response, fake: Fake) -> None:
    events = (line for line in answer.iter_lines() if line)
    server = psutil.Process(fake.pid)
    for _ in range(5_000):
        next(events)
    before = server.memory_info().rss
    for _ in range(40_000):
        next(events)
    assert server.memory_info().rss - before < 3_000_000
