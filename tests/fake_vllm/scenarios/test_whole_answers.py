"""Whole answers are as long as they declare, whatever a scenario changes in them."""

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from fake_vllm.testing import FakeVllm

ID = "the-id-of-a-client-which-is-longer-than-those-of-the-server"
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4},
    "/v1/completions": {"prompt": "Hi", "max_tokens": 4},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 4},
    "/v1/messages": {
        "model": "fake-model",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4,
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=4", gap=0) as fake:
        yield fake


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "scenario",
    [
        *("wrong_ids:after=0", "wrong_model", 'wrong_model:model="ä"', "gzip+wrong_ids:after=0"),
        *("duplicate:after=1", "out_of_order:after=1", "malformed:after=1", "think:tokens=2"),
        *("error_event:after=0", "error_event:after=2", "error_event:after=4", "abort:after=1"),
    ],
)
def test_a_whole_answer_is_as_long_as_it_declares(
    scenario: str, path: str, server: FakeVllm
) -> None:
    body = json.dumps({**BODIES[path], "fake_scenario": scenario}).encode()
    address = urlsplit(server.root)
    with socket.create_connection((str(address.hostname), address.port or 0), 5) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"x-request-id: {ID}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            "".encode()
            + body
        )
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, answer = got.partition(b"\r\n\r\n")
    [declared] = [
        int(line.partition(b": ")[2])
        for line in head.split(b"\r\n")
        if line.startswith(b"content-length")
    ]
    assert declared == len(answer)
