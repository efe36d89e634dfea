"""A page that has pointed its own name at the relay may not call it."""

import json
import socket

import pytest
from fake_vllm.testing import FakeVllm
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from relay.settings import Settings
from serving import QUESTION, client, serving

OURS = ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "10.1.2.3:8000", "[::1]:8080"]
FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example@localhost",
    "localhost:80@evil.example",
    "[evil.example]",
    "127.1",
    "relay",
]


@pytest.mark.parametrize("host", OURS)
def test_localhost_and_addresses_are_answered_with_any_port(relay: str, host: str) -> None:
    with client() as http:
        assert http.get(f"{relay}/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_another_host_is_refused_in_one_sentence_before_the_model(
    relay: str, fake_vllm: FakeVllm, host: str
) -> None:
    with client() as http:
        for path in ("/answer", "/chat"):
            answer = http.post(f"{relay}{path}", json=QUESTION, headers={"host": host})
            assert answer.status_code == 421
            assert answer.json()["error"] == {
                "type": "wrong_host",
                "message": f"This server is not {host}; add the name to ALLOWED_HOSTS if it is.",
            }
    assert not fake_vllm.requests


def test_a_websocket_of_a_name_that_was_pointed_here_is_refused(
    relay: str, fake_vllm: FakeVllm
) -> None:
    """The page's origin and the host are the same, so that only the name tells."""
    port = int(relay.rpartition(":")[2])
    page = Origin(f"http://evil.example:{port}")
    there = socket.create_connection(("127.0.0.1", port))
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://evil.example:{port}/ws", sock=there, origin=page, proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 421
    assert json.loads(refused.value.response.body)["error"]["type"] == "wrong_host"
    assert not fake_vllm.requests


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        (("relay.example",), "Relay.example:443", 200),
        (("relay.example",), "localhost", 200),
        (("relay.example",), "www.relay.example", 421),
        (("*",), "any.example", 200),
    ],
)
def test_the_setting_adds_names(
    fake_vllm: FakeVllm, allowed: tuple[str, ...], host: str, status: int
) -> None:
    settings = Settings(fake_vllm.base_url, fake_vllm.model, allowed_hosts=allowed)
    with serving(settings) as relay, client() as http:
        assert http.get(f"{relay}/health", headers={"host": host}).status_code == status


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_json_that_does_not_call_itself_json_is_refused(
    relay: str, fake_vllm: FakeVllm, kind: str | None
) -> None:
    """Any page may send such a request: a browser does not ask first."""
    headers = {} if kind is None else {"content-type": kind}
    with client() as http:
        for path in ("/answer", "/chat"):
            body = json.dumps(QUESTION).encode()
            assert http.post(f"{relay}{path}", content=body, headers=headers).status_code == 422
    assert not fake_vllm.requests


@pytest.mark.parametrize("name", ["relay.example", "relay.example.", "RELAY.example"])
def test_a_name_is_ours_with_and_without_its_last_dot(name: str, fake_vllm: FakeVllm) -> None:
    settings = Settings(fake_vllm.base_url, fake_vllm.model, allowed_hosts=(name,))
    with serving(settings) as relay, client() as http:
        for host in ("relay.example", "relay.example.:8000"):
            assert http.get(f"{relay}/health", headers={"host": host}).status_code == 200
