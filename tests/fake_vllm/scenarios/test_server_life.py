"""A server that starts, and one whose engine dies, as clients see them."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from openai import InternalServerError, OpenAI

from fake_vllm.api.release import OLD
from fake_vllm.testing import FakeVllm, FakeVllmError
from tests.fake_vllm.raw import ask, chunks, read

END = b"0\r\n\r\n"
STAYS = "endless+engine_death:after=3,exit=false"


def health(fake: FakeVllm) -> int | None:
    """The status of /health. None: the connection was refused."""
    address = urlsplit(fake.root)
    try:
        with socket.create_connection(
            (str(address.hostname), address.port or 0), timeout=5
        ) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return int(connection.recv(64)[9:12])
    except ConnectionRefusedError:
        return None


def becomes(fake: FakeVllm, status: int) -> float:
    """The seconds until /health has a status."""
    started = time.monotonic()
    while health(fake) != status:
        assert time.monotonic() - started < 10
        time.sleep(0.02)
    return time.monotonic() - started


class TestStartup:
    def test_a_server_that_loads_its_model_refuses_connections_and_is_then_ready(self) -> None:
        with FakeVllm("finite:tokens=1", startup=0.5) as fake:
            assert health(fake) is None
            with pytest.raises(FakeVllmError, match="still starting"):
                _ = fake.requests
            assert becomes(fake, 200) > 0.2
            with ask(fake, "") as connection:
                assert read(connection, until=END)[0].startswith(b"HTTP/1.1 200")

    def test_a_gateway_in_front_of_it_answers_503(self) -> None:
        with FakeVllm("finite:tokens=1", startup=0.5, startup_answer="503") as fake:
            assert health(fake) == 503
            with ask(fake, "") as connection:
                head, body = read(connection, until=b"upstream")
            assert (head[:12], body) == (b"HTTP/1.1 503", b"no healthy upstream")
            assert fake.requests == []  # its own routes answer all the time
            becomes(fake, 200)


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeVllm]:
    with FakeVllm("endless", gap=0.005, max_num_seqs=2) as fake:
        yield fake


@pytest.fixture
def server(shared: FakeVllm) -> FakeVllm:
    shared.reset()
    return shared


class TestEngineDeath:
    @pytest.mark.parametrize(
        ("path", "whole", "last"),
        [
            ("/v1/chat/completions", True, b"data: [DONE]\n\n"),
            ("/v1/completions", True, b"data: [DONE]\n\n"),
            ("/v1/responses", False, b"response.output_text.delta"),
        ],
    )
    def test_a_stream_ends_as_on_a_vllm_whose_engine_was_killed(
        self, path: str, whole: bool, last: bytes, server: FakeVllm
    ) -> None:
        with ask(server, STAYS, path=path) as connection:
            _, body = read(connection, until=END)
        *_, before, final = chunks(body)
        assert (final == b"") is whole
        assert last in (before if whole else final)
        assert (OLD.death.encode() in body) is whole
        assert server.until_over().end == "failed"

    def test_running_waiting_and_new_requests_get_an_error_until_it_is_reset(
        self, server: FakeVllm
    ) -> None:
        waiting: list[tuple[bytes, bytes]] = []

        def wait(stream: bool, scenario: str = "endless") -> None:
            with ask(server, scenario, stream=stream) as connection:
                waiting.append(read(connection, until=END if stream else b"500}}"))

        with ask(server, "endless+engine_death:after=80,exit=false") as dies:
            dies.recv(1)
            # One runs, with a minute to its next token, and two wait for a slot.
            requests = ((True, "endless+pace:gap=60000"), (True,), (False,))
            threads = [threading.Thread(target=wait, args=each) for each in requests]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(5)
        heads = sorted(head[:12] for head, _ in waiting)
        assert heads == [b"HTTP/1.1 200", b"HTTP/1.1 200", b"HTTP/1.1 500"]
        assert all(OLD.death.encode() in body for _, body in waiting)
        assert health(server) == 503
        with httpx2.Client(trust_env=False) as client:
            answer = client.post(
                f"{server.base_url}/chat/completions",
                json={"messages": [{"role": "user", "content": "Hi"}], "stream": True},
            )
            assert client.get(f"{server.base_url}/models").status_code == 200
        assert answer.status_code == 500
        assert json.loads(answer.text)["error"]["message"] == OLD.death
        server.reset()
        assert health(server) == 200

    def test_the_process_ends_with_status_0_and_reset_starts_another_at_its_place(
        self, server: FakeVllm
    ) -> None:
        root, pid = server.root, server.pid
        with OpenAI(base_url=server.base_url, api_key="-", max_retries=0) as client:
            with pytest.raises(InternalServerError):
                client.completions.create(
                    model="fake-model", prompt="Hi", extra_body={"fake_scenario": "engine_death"}
                )
            started = time.monotonic()
            assert server.wait_for_exit() == 0
            assert time.monotonic() - started < 5
            assert health(server) is None
            server.reset()
            assert (server.root, health(server)) == (root, 200)
            assert server.pid != pid
            assert server.requests == []
            client.completions.create(model="fake-model", prompt="Hi", max_tokens=2)

    def test_a_reset_in_time_keeps_the_process(self, server: FakeVllm) -> None:
        pid = server.pid
        with ask(server, "engine_death:after=1") as connection:
            read(connection, until=END)
        server.reset()
        time.sleep(0.8)
        assert (server.pid, health(server)) == (pid, 200)
