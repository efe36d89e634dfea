"""gpu/torch_server with an engine without PyTorch; tests/real/test_torch_server.py has the real one."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx2
import pytest

from fake_vllm.app import App
from fake_vllm.http.connection import Connection, Limits
from fake_vllm.model.vocabulary import FIRST_WORD
from fake_vllm.settings import Settings, make
from gpu.torch_server.player import TorchPlayer
from stream_lab import Endpoint
from stream_lab.processes.ports import free_port, listens
from tests.conftest import wait


class Ticking:
    """An engine that makes a token for each sequence every N seconds."""

    def __init__(self, gap: float = 0.005) -> None:
        self.gap = gap
        self.running: list[tuple[list[int], Callable[[int], object]]] = []
        self.made = 0
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def add(self, prompt: Sequence[int], on_token: Callable[[int], object], seed: int) -> Any:
        generation = (list(prompt), on_token)
        self.running.append(generation)
        return generation

    def drop(self, generation: Any) -> None:
        if generation in self.running:
            self.running.remove(generation)

    def _work(self) -> None:
        while not self.closed.wait(self.gap):
            for _, on_token in list(self.running):
                self.made += 1
                on_token(FIRST_WORD + self.made % 1000)


@contextmanager
def serving(engine: Ticking, **settings: Any) -> Iterator[str]:
    """A server, which dies at the end of the block."""
    port = free_port()
    chosen = make(
        {
            "port": port,
            "served_model_name": "random",
            "watch_stdin": False,
            "lifetime": 60,
            **settings,
        }
    )

    def app(settings: Settings) -> App:
        return App(settings, partial(TorchPlayer, engine), plain=True)

    async def serve() -> None:  # `fake_vllm.server.run` wants the main thread, for its signals
        made, everyone = app(chosen), set[Connection]()
        listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(made.handle, Limits(), everyone), "127.0.0.1", port
        )
        await asyncio.to_thread(engine.closed.wait)
        listening.close()
        await made.die(1.0)
        for connection in tuple(everyone):
            connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    wait(lambda: listens(port))
    yield f"http://127.0.0.1:{port}"
    engine.closed.set()
    thread.join(timeout=5)


@pytest.fixture
def engine() -> Ticking:
    return Ticking()


@pytest.fixture
def root(engine: Ticking) -> Iterator[str]:
    with serving(engine) as address:
        yield address


def ask(root: str, **more: Any) -> httpx2.Response:
    body = {"model": "random", "messages": [{"role": "user", "content": "Why?"}], **more}
    return httpx2.post(f"{root}/v1/chat/completions", json=body, timeout=20, trust_env=False)


def gauge(root: str, name: str) -> float:
    page = httpx2.get(f"{root}/metrics", timeout=5, trust_env=False).text
    found = re.search(rf"^vllm:{name}{{[^}}]*}} (\S+)", page, re.MULTILINE)
    assert found
    return float(found[1])


def test_a_stream_has_the_engines_tokens_and_vllms_events(root: str, engine: Ticking) -> None:
    lines = ask(root, stream=True, max_tokens=5).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 5 + ["length"]
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(event["choices"][0]["delta"]["content"] for event in events[1:])
    assert not engine.running
    assert gauge(root, "num_requests_running") == 0
    assert gauge(root, "generation_tokens_total") == 5


def test_a_whole_answer_has_the_requested_choices_and_tokens(root: str, engine: Ticking) -> None:
    answer = ask(root, max_tokens=7, n=2).json()
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length", "length"]
    assert answer["usage"]["completion_tokens"] == 14
    assert not engine.running


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_disconnect_stops_only_the_request_of_that_client(
    root: str, engine: Ticking, stream: bool
) -> None:
    leaving = connection(root, stream)
    staying = connection(root, True)
    wait(lambda: len(engine.running) == 2)
    wait(lambda: gauge(root, "num_requests_running") == 2)
    leaving.close()
    wait(lambda: len(engine.running) == 1)
    assert gauge(root, "num_requests_running") == 1
    staying.close()
    wait(lambda: not engine.running)
    assert gauge(root, "num_requests_running") == 0


def connection(root: str, stream: bool) -> socket.socket:
    """A request that has been sent, and whose answer is not read."""
    body = json.dumps(
        {"messages": [{"role": "user", "content": "Why?"}], "stream": stream, "ignore_eos": True}
    ).encode()
    client = socket.create_connection(("127.0.0.1", int(root.rpartition(":")[2])))
    client.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    return client


def test_a_request_beyond_the_slots_waits_and_never_starts_if_its_client_disconnects(
    engine: Ticking,
) -> None:
    with serving(engine, max_num_seqs=1) as root:
        first, second = connection(root, True), connection(root, True)
        wait(lambda: gauge(root, "num_requests_waiting") == 1)
        assert len(engine.running) == 1
        second.close()
        wait(lambda: gauge(root, "num_requests_waiting") == 0)
        assert len(engine.running) == 1
        first.close()
        wait(lambda: not engine.running)


def test_a_slow_client_gets_every_token() -> None:
    with serving(Ticking(gap=0.0002)) as root:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", int(root.rpartition(":")[2])))
        # Long events fill the connection soon.
        body = json.dumps(
            {
                "messages": [{"role": "user", "content": "Why?"}],
                "stream": True,
                "max_tokens": 4000,
                "ignore_eos": True,
                "logprobs": True,
                "top_logprobs": 20,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        wait(lambda: gauge(root, "generation_tokens_total") >= 4000)
        received = b""
        client.settimeout(10)
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(65536)
        assert b'"completion_tokens":4000' in received
        client.close()


@pytest.mark.parametrize("gap", [0.005, 60], ids=["at work", "before its first token"])
def test_a_dying_server_ends_its_streams_as_on_a_vllm_that_is_shutting_down(gap: float) -> None:
    engine = Ticking(gap)
    with serving(engine) as root:
        client = connection(root, True)
        wait(lambda: len(engine.running) == 1)
    received = b""
    while packet := client.recv(65536):
        received += packet
    client.close()
    assert b'"finish_reason":"abort"' in received
    assert received.endswith(b"0\r\n\r\n")
    assert not engine.running


def test_a_wrong_model_is_refused_as_vllm_does(root: str, engine: Ticking) -> None:
    answer = ask(root, model="no-model")
    assert answer.status_code == 404
    assert "does not exist" in answer.json()["error"]["message"]
    assert not engine.running


def test_it_counts_as_a_real_server_with_metrics(root: str) -> None:
    with Endpoint(f"{root}/v1") as endpoint:
        assert not endpoint.is_fake
        assert endpoint.shows_metrics


def test_a_fault_ends_its_own_answer_only(
    root: str, engine: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: TorchPlayer, index: int, token: int) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(TorchPlayer, "_go_on", broken)
        with pytest.raises(httpx2.TransportError):
            ask(root, stream=True, max_tokens=5)
    assert not engine.running
    time.sleep(0.02)
    assert ask(root, max_tokens=2).status_code == 200
