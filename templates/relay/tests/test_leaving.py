"""A client that disconnects in the middle frees the GPU: the incident, as a test."""

import socket
from urllib.parse import urlsplit

import pytest
from fake_vllm.testing import FakeVllm


@pytest.mark.fake_vllm("endless")
@pytest.mark.parametrize("path", ["/chat", "/answer"])
def test_the_generation_ends_when_its_client_disconnects(
    relay: str, fake_vllm: FakeVllm, path: str
) -> None:
    body = b'{"question": "Why?"}'
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", urlsplit(relay).port or 0)) as caller:
        caller.sendall(head.encode() + body)
        fake_vllm.wait_for(lambda entry: entry.tokens > 3)
    freed = fake_vllm.until_freed()
    assert freed.end == "client left"
    assert freed.tokens < 300  # of the 2000 that it had been asked for, 100 a second
