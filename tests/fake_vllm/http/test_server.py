"""Where the server listens, what it logs, and what browsers and proxies get."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.conftest import Certificates

HAS_IPV6 = socket.has_ipv6 and Path("/proc/net/if_inet6").read_text() != ""


def answered(address: tuple[str, int], request: bytes) -> tuple[str, dict[str, str]]:
    """The status and the headers of the answer to some bytes."""
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
            data += more
    lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines[1:])
    return lines[0].split(" ")[1], {name: value for name, _, value in pairs}


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("hosts", "reached"),
    [
        (["::1"], ["[::1]"]),
        (["127.0.0.1", "::1"], ["127.0.0.1", "[::1]"]),
        (["::"], ["127.0.0.1", "[::1]"]),
    ],
)
def test_it_listens_on_every_address(hosts: list[str], reached: list[str]) -> None:
    with FakeVllm(host=hosts) as fake, httpx2.Client(trust_env=False) as client:
        port = urlsplit(fake.root).port
        for host in reached:
            assert client.get(f"http://{host}:{port}/health").status_code == 200
        assert fake.requests == []


def test_requests_through_a_proxy_keep_scheme_and_query(
    certificates: Certificates,
) -> None:
    with FakeVllm() as fake:
        host, port = str(urlsplit(fake.root).hostname), int(urlsplit(fake.root).port or 0)

        def get(target: str, *more: str) -> tuple[str, dict[str, str]]:
            lines = [f"GET {target} HTTP/1.1", "Host: gpu.example", *more, "", ""]
            return answered((host, port), "\r\n".join(lines).encode())

        for target in ("/v1/models", "http://gpu/v1/models", "HTTP://gpu:80/v1/models?x=1"):
            assert get(target)[0] == "200"
        assert get("http://gpu")[0] == "404"
        status, headers = get("/v1/models/?x=1&y=http://z/")
        assert (status, headers["location"]) == (
            "307",
            "http://gpu.example/v1/models?x=1&y=http://z/",
        )
        _, headers = get("/v1/models/", "X-Forwarded-Proto: https")
        assert headers["location"] == "https://gpu.example/v1/models"
    with (
        FakeVllm(ssl_certfile=certificates.certificate, ssl_keyfile=certificates.key) as fake,
        httpx2.Client(trust_env=False, verify=certificates.trusting) as client,
    ):
        moved = client.get(f"{fake.root}/v1/models/")
        assert moved.headers["location"] == f"{fake.root}/v1/models"


def test_an_upgrade_to_http2_is_ignored_and_its_body_lost_as_by_uvicorn() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with FakeVllm() as fake:
        address = (str(urlsplit(fake.root).hostname), int(urlsplit(fake.root).port or 0))
        get = f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n"
        assert answered(address, get.encode())[0] == "200"
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        post = f"{head}{upgrade}Content-Length: {len(body)}\r\n\r\n{body}"
        assert answered(address, post.encode())[0] == "400"


def test_the_access_log_has_a_line_for_each_answer(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with FakeVllm(access_log=log) as fake, httpx2.Client(trust_env=False) as client:
        client.get(f"{fake.base_url}/models?x=ä")
        client.post(f"{fake.base_url}/chat/completions", json={})
        client.post(
            f"{fake.base_url}/chat/completions",
            json={"messages": [{"role": "user", "content": "Hi"}], "stream": True},
        )
    lines = [line.partition(" - ")[2] for line in log.read_text().splitlines()]
    assert lines == [
        '"GET /v1/models?x=%C3%A4 HTTP/1.1" 200 OK',
        '"POST /v1/chat/completions HTTP/1.1" 400 Bad Request',
        '"POST /v1/chat/completions HTTP/1.1" 200 OK',
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_access_log_is_reported_once_and_costs_no_answer() -> None:
    with FakeVllm(access_log="/dev/full") as fake, httpx2.Client(trust_env=False) as client:
        asked = [client.get(f"{fake.base_url}/models").status_code for _ in range(2)]
        said = fake.errors
    assert asked == [200, 200]
    assert said.count("\n") == 1
    assert "Cannot write /dev/full: No space left on device." in said


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [("*", "*"), ("http://app.example", "http://app.example"), ("http://other", None)],
)
def test_allowed_origins_are_those_of_starlette(origins: str, allowed: str | None) -> None:
    """The expected headers are those of Starlette's CORSMiddleware as vLLM sets it up."""
    with (
        FakeVllm(allowed_origins=json.dumps([origins])) as fake,
        httpx2.Client(trust_env=False, headers={"origin": "http://app.example"}) as client,
    ):
        simple = client.get(f"{fake.base_url}/models")
        assert simple.headers.get("access-control-allow-origin") == allowed
        assert simple.headers["vary"] == "Origin"
        asking = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-y",
        }
        first = client.options(f"{fake.base_url}/chat/completions", headers=asking)
        assert first.status_code == (400 if allowed is None else 200)
        assert first.text == ("Disallowed CORS origin" if allowed is None else "OK")
        assert first.headers.get_list("access-control-allow-origin") == (
            [] if allowed is None else [allowed]
        )
        assert first.headers["access-control-allow-headers"] == "authorization,x-y"
        with client.stream(
            "POST",
            f"{fake.base_url}/chat/completions",
            json={"messages": [{"role": "user", "content": "Hi"}], "stream": True},
        ) as stream:
            assert stream.headers.get("access-control-allow-origin") == allowed


def test_an_id_that_a_client_sends_comes_back_byte_for_byte() -> None:
    sent = "é".encode()
    with FakeVllm(enable_request_id_headers=True) as fake, httpx2.Client(trust_env=False) as client:
        answer = client.get(f"{fake.base_url}/models", headers={b"x-request-id": sent})
    assert dict(answer.headers.raw)[b"x-request-id"] == sent
