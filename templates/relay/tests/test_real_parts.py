"""Real nginx and gunicorn, as deploy/ has them, and a model's server, on free ports."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from fake_vllm.testing import FakeVllm
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from websockets.typing import Origin

from deployed import DEPLOY
from serving import QUESTION, client, events, wait_until

NGINX = shutil.which(
    "nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
)
REQUIRED = os.environ.get("REQUIRE_REAL_PARTS") == "1"


@dataclass
class Parts:
    """`url`: of nginx. `behind`: of gunicorn. `gunicorn`: its process."""

    url: str
    behind: str
    gunicorn: "subprocess.Popen[bytes]"
    log: Path


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as there:
        return int(there.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with client() as http:
            return http.get(f"{url}/health").status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def running(
    command: list[str], log: Path, **environment: str
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=DEPLOY.parent,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def gunicorn(fake: FakeVllm, folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]", Path]]:
    port, log = free_port(), folder / "gunicorn.log"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "deploy/gunicorn.conf.py",
        "--bind",
        f"127.0.0.1:{port}",
    ]
    settings = {
        "BASE_URL": fake.base_url,
        "MODEL": fake.model,
        "MAX_TIMEOUT": "20",
        "WEB_CONCURRENCY": "1",
        "OPENAI_API_KEY": "",
    }
    with running(command, log, **settings) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: process.poll() is not None or answers(url), 60)
        except TimeoutError:
            pytest.fail(f"gunicorn did not start: {log.read_text()}")
        assert process.poll() is None, log.read_text()
        yield url, process, log


def nginx_for(behind: str, folder: Path) -> tuple[list[str], int]:
    """Return the command for nginx with deploy/nginx.conf, and its port.

    Three settings change: where it listens, where the relay is, and how long it waits for a head.
    """
    port = free_port()
    site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    for pattern, new in (
        (r"server relay:8000;", f"server {behind.removeprefix('http://')};"),
        (r"listen 8080;", f"listen 127.0.0.1:{port};"),
        (r"client_header_timeout \d+s;", "client_header_timeout 1s;"),
    ):
        site, times = re.subn(pattern, new, site)
        assert times == 1, pattern
    (folder / "site.conf").write_text(site, encoding="utf-8")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    main = (
        f"pid {folder}/pid; daemon off; events {{}} http {{ access_log off; {paths} include "
        f"{folder}/site.conf; }}"
    )
    (folder / "nginx.conf").write_text(main, encoding="utf-8")
    return [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"], port


@pytest.fixture(scope="module")
def parts(fake_vllm_server: FakeVllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    if NGINX is None:
        reason = (
            "nginx is not installed (Debian: apt-get install nginx-light); "
            "REQUIRE_REAL_PARTS=1 makes this a failure"
        )
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("nginx")
    with gunicorn(fake_vllm_server, folder) as (behind, process, log):
        command, port = nginx_for(behind, folder)
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        with running(command, folder / "nginx.log"):
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(url))
            yield Parts(url, behind, process, log)


@pytest.mark.fake_vllm("finite:tokens=15+pace:gap=100")
def test_tokens_come_one_by_one_through_nginx(parts: Parts, fake_vllm: FakeVllm) -> None:
    came = []
    with client() as http, http.stream("POST", f"{parts.url}/chat", json=QUESTION) as answer:
        for kind, _ in events(answer):
            came.append((kind, time.monotonic()))
    assert [kind for kind, _ in came[-2:]] == ["token", "done"]
    assert came[-1][1] - came[0][1] > 0.5  # all at once if a proxy had kept them


@pytest.mark.fake_vllm("endless")
@pytest.mark.parametrize("path", ["/chat", "/answer"])
def test_a_disconnect_at_nginx_frees_the_model(
    parts: Parts, fake_vllm: FakeVllm, path: str
) -> None:
    body = b'{"question": "Why?"}'
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(parts.url.rpartition(":")[2]))) as caller:
        caller.sendall(head.encode() + body)
        fake_vllm.wait_for(lambda entry: entry.tokens > 3)
    assert fake_vllm.until_freed().end == "client left"


@pytest.mark.fake_vllm("endless")
def test_the_clients_deadline_passes_nginx(parts: Parts, fake_vllm: FakeVllm) -> None:
    with client() as http:
        answer = http.post(f"{parts.url}/answer", json=QUESTION, headers={"X-Timeout-Ms": "400"})
    assert answer.status_code == 504
    assert answer.json()["error"]["type"] == "deadline_exceeded"  # the relay's words, not nginx's
    assert (
        fake_vllm.until_freed().tokens < 500
    )  # 100 tokens a second, so nothing else would end it within 20 s


@pytest.mark.fake_vllm("endless")
def test_a_websocket_passes_nginx(parts: Parts, fake_vllm: FakeVllm) -> None:
    with connect(
        parts.url.replace("http://", "ws://") + "/ws", proxy=None, origin=Origin(parts.url)
    ) as caller:
        caller.send('{"question": "Why?"}')
        assert '"token"' in str(caller.recv())
        caller.send('{"type": "stop"}')
        assert '"stopped"' in [*caller][-1]
    assert fake_vllm.until_freed().end == "client left"


def test_a_body_that_is_too_large_is_refused_before_the_model(
    parts: Parts, fake_vllm: FakeVllm
) -> None:
    with client() as http:
        assert http.post(f"{parts.url}/chat", json={"question": "?" * 100_000}).status_code == 413
    assert not fake_vllm.requests


def test_a_message_that_is_too_large_is_refused_before_the_model(
    parts: Parts, fake_vllm: FakeVllm
) -> None:
    with connect(parts.url.replace("http://", "ws://") + "/ws", proxy=None) as caller:
        caller.send("?" * 100_000)
        with pytest.raises(ConnectionClosedError, match="1009"):
            caller.recv()
    assert not fake_vllm.requests


def test_a_silent_client_is_disconnected(parts: Parts) -> None:
    with socket.create_connection(
        ("127.0.0.1", int(parts.url.rpartition(":")[2])), timeout=20
    ) as caller:
        assert caller.recv(1) == b""


@pytest.mark.fake_vllm("finite:tokens=30+pace:gap=100")
def test_a_deployment_lets_streams_end_and_closes_websockets(
    fake_vllm: FakeVllm, tmp_path: Path
) -> None:
    with gunicorn(fake_vllm, tmp_path) as (url, process, log):
        with (
            connect(url.replace("http://", "ws://") + "/ws", proxy=None) as caller,
            client() as http,
            http.stream("POST", f"{url}/chat", json=QUESTION) as answer,
        ):
            caller.send('{"question": "Why?"}')
            assert '"token"' in str(caller.recv())
            coming = events(answer)
            assert next(coming)[0] == "token"
            process.send_signal(signal.SIGTERM)  # as docker stop does
            assert [kind for kind, _ in coming][-1] == "done", log.read_text()
            with pytest.raises(ConnectionClosedError, match="1012"):
                list(caller)
        assert process.wait(15) == 0
