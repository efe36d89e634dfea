"""Real parts start, report errors, and leave nothing behind."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from fastapi import FastAPI

from stream_lab.http.capture import CUT, REFUSED, WHOLE, read
from stream_lab.http.client import direct_client
from stream_lab.processes import (
    Browser,
    Gateway,
    Gunicorn,
    Haproxy,
    MissingPart,
    Nginx,
    Serving,
    serve,
)
from stream_lab.processes.process import Process, ProcessError
from stream_lab.processes.programs import missing
from tests.conftest import needs, wait
from tests.stream_lab.streams import app


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serve(app) as running:
        yield running


class TestTheGateway:
    def test_bytes_pass_as_they_come(self, served: Serving) -> None:
        with Gateway(served.url) as gateway:
            answer = read(f"{gateway.url}/stream")
            assert (answer.end, answer.manner, gateway.cut) == (WHOLE, "token by token", 0)

    def test_a_pause_is_cut_by_an_idle_limit_and_by_no_other(self, served: Serving) -> None:
        with Gateway(served.url, idle=0.5) as idle, Gateway(served.url, longest=10) as longest:
            assert read(f"{idle.url}/stream?tokens=20").end == WHOLE
            answer = read(f"{idle.url}/stream?pause=2")
            assert (answer.end, idle.cut, answer.text.count("token")) == (CUT, 1, 3)
            assert read(f"{longest.url}/stream?pause=2").end == WHOLE

    def test_a_long_answer_is_cut_by_a_total_limit(self, served: Serving) -> None:
        with Gateway(served.url, longest=0.5) as longest:
            answer = read(f"{longest.url}/stream?tokens=100")
            assert (answer.end, longest.cut) == (CUT, 1)
            assert answer.text.count("token") < 100

    def test_bytes_take_as_long_as_the_way_each_way(self, served: Serving) -> None:
        with Gateway(served.url, delay=0.3) as gateway:
            answer = read(f"{gateway.url}/stream")
            assert answer.end == WHOLE
            assert answer.first is not None
            assert answer.first >= 0.6

    def test_without_a_server_behind_it_the_client_gets_an_end_without_an_answer(self) -> None:
        with Gateway("http://127.0.0.1:9") as gateway:
            assert read(gateway.url).end == REFUSED


@needs("nginx")
class TestNginx:
    def test_nginx_is_a_real_one_and_passes_on_its_answers(self, served: Serving) -> None:
        with Nginx(served.url) as nginx:
            answer = read(f"{nginx.url}/stream")
            assert (answer.end, answer.headers["server"].split("/")[0]) == (WHOLE, "nginx")

    def test_a_line_of_configuration_is_in_force(self, served: Serving) -> None:
        with Nginx(served.url, "proxy_read_timeout 1s;") as nginx:
            assert read(f"{nginx.url}/stream?pause=2").end == CUT
            wait(lambda: "upstream timed out" in nginx.log)

    def test_each_request_has_a_line_in_both_access_logs(
        self, served: Serving, request: pytest.FixtureRequest
    ) -> None:
        served.access_log.clear()
        # As another server of this process leaves it: uvicorn's loggers pass nothing on.
        access = logging.getLogger("uvicorn.access")
        before, access.propagate = access.propagate, False
        request.addfinalizer(lambda: setattr(access, "propagate", before))
        with Nginx(served.url) as nginx:
            assert read(f"{nginx.url}/stream?tokens=3").end == WHOLE
            wait(lambda: nginx.access_log == ["GET /stream?tokens=3 200"])
        wait(lambda: served.access_log == ['"GET /stream?tokens=3 HTTP/1.1" 200'])
        assert served.log == []

    def test_an_unknown_line_of_configuration_is_an_error(self, served: Serving) -> None:
        with pytest.raises(
            ProcessError, match=r'nginx did not start: .*unknown directive "proxy_bufering"'
        ):
            Nginx(served.url, "proxy_bufering off;")


@needs("nginx")
def test_a_silent_client_is_disconnected_by_the_server_in_front(served: Serving) -> None:
    """uvicorn waits for its request for ever; see test_relay_bad_input.py."""
    with (
        Nginx(served.url, http=("client_header_timeout 1s;",)) as nginx,
        socket.create_connection(
            ("127.0.0.1", urlsplit(nginx.url).port or 0), timeout=30
        ) as silent,
    ):
        assert silent.recv(100) == b""


@needs("haproxy")
def test_haproxy_is_a_real_one_with_the_given_limit(served: Serving) -> None:
    with Haproxy(served.url, server="1s") as haproxy:
        assert read(f"{haproxy.url}/stream").end == WHOLE
        assert read(f"{haproxy.url}/stream?pause=3").end == CUT


def _named(name: str) -> FastAPI:
    named = FastAPI()
    named.get("/")(lambda: name)
    return named


@needs("haproxy")
def test_haproxy_sends_requests_to_several_servers_as_its_backend_says() -> None:
    sticky = ("dynamic-cookie-key secret", "cookie SERVER insert indirect dynamic")
    with serve(_named("a")) as a, serve(_named("b")) as b:
        for lines, seen in [((), {'"a"', '"b"'}), (sticky, {'"a"'})]:
            with Haproxy([a.url, b.url], backend=lines) as haproxy, direct_client() as client:
                assert {client.get(haproxy.url).text for _ in range(4)} == seen


def test_a_server_takes_the_port_of_one_that_has_ended() -> None:
    with serve(_named("a")) as first:
        port = urlsplit(first.url).port or 0
    with serve(_named("b"), port=port) as second:
        assert (second.url, read(second.url).text) == (first.url, '"b"')


class TestGunicorn:
    def test_it_serves_with_workers_of_any_class_and_stops_with_all_of_them(self) -> None:
        with Gunicorn(
            "tests.stream_lab.streams:app",
            "--worker-class=uvicorn_worker.UvicornWorker",
            "--workers=2",
        ) as gunicorn:
            assert read(f"{gunicorn.url}/stream").end == WHOLE
            wait(lambda: gunicorn.log.count("Booting worker") == 2)
            workers = [
                int(line.rpartition(" ")[2])
                for line in gunicorn.log.splitlines()
                if "Booting worker" in line
            ]
        for pid in workers:
            wait(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), 10)  # type: ignore[misc]

    def test_an_application_that_cannot_be_served_is_an_error(self) -> None:
        with pytest.raises(ProcessError, match="gunicorn did not start"):
            Gunicorn("no.such.module:app")


@needs("nginx")
def test_a_part_ends_with_its_parent_even_if_that_is_killed() -> None:
    script = "from stream_lab.processes import Nginx; import time; print(Nginx('http://127.0.0.1:9').pid, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert psutil.pid_exists(pid)
        starter.kill()
        wait(
            lambda: (
                not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            ),
            10,
        )


@needs("chromium")
def test_chromium_is_a_real_one(served: Serving) -> None:
    with Browser() as browser:
        page = browser.page(f"{served.url}/stream")
        page.wait_for_function("document.body.innerText.includes('token 9')")
        assert "Chrome/" in page.evaluate("navigator.userAgent")


def test_a_part_that_is_not_installed_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MissingPart, match="apt-get install nginx-light"):
        Nginx("http://127.0.0.1:9")
    assert "apt-get install nginx-light" in missing("10")
    assert missing("03") == ""


def test_a_server_in_this_process_ends_soon(served: Serving) -> None:
    began = time.monotonic()
    with serve(app) as another:
        assert read(f"{another.url}/stream?tokens=1000", leave_after=0.1).status == 200
    assert time.monotonic() - began < 10


def test_a_log_that_is_read_while_it_is_written_stays_whole() -> None:
    script = "import time\nfor number in range(200):\n    print('line', number, flush=True)\n    time.sleep(0.002)\ntime.sleep(60)"
    with Process("writer", [sys.executable, "-c", script], lambda: True) as writer:
        wait(lambda: "line 199\n" in writer.log)
        assert writer.log.splitlines() == [f"line {number}" for number in range(200)]


def test_the_children_of_a_program_are_stopped_when_it_ends(tmp_path: Path) -> None:
    """As vLLM's engine, which outlives a server that was killed."""
    log = tmp_path / "log"
    started: list[int] = []
    leaves = ["/bin/sh", "-c", "sleep 60 & echo $!; exit 3"]
    with pytest.raises(ProcessError, match="A program did not start"):
        Process("A program", leaves, lambda: False, log=log, started=started.append)
    assert len(started) == 1
    left = int(log.read_text(encoding="utf-8"))
    wait(
        lambda: (
            not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE
        ),
        5,
    )


def test_a_program_that_is_too_slow_is_an_error_with_its_limit() -> None:
    with pytest.raises(ProcessError, match=r"A program was not ready within 0\.2 s"):
        Process("A program", ["/bin/sleep", "60"], lambda: False, within=0.2)
