"""A synchronous call ends and frees its server on every connection and in every phase."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import trustme

from fake_vllm.testing import FakeVllm
from stream_deadline import ChatVllm, StreamDeadlineExceeded
from stream_deadline._call_group import CallGroup
from stream_deadline._clients import _httpx
from stream_deadline._http_clients import pools
from stream_deadline._network import TrackedStream

LIMIT = 0.5
LATEST = 5.0
LONG = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("endless", gap=0.02) as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> trustme.CA:
    return trustme.CA()


def chat(server: FakeVllm, scenario: str = "endless", **options: Any) -> ChatVllm:
    made = {
        "model": server.model,
        "base_url": server.base_url,
        "timeout": LONG,
        "extra_body": {"fake_scenario": scenario},
    }
    return ChatVllm(**{**made, **options})


def warm(model: ChatVllm) -> ChatVllm:
    model.invoke("Why?", extra_body={"fake_scenario": "finite:tokens=2"})
    return model


def seconds(call: Callable[[], object]) -> float:
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded):
        call()
    return time.monotonic() - started


def own_client() -> dict[str, Any]:
    return {"http_client": openai.DefaultHttpxClient()}


def used_before(server: FakeVllm) -> dict[str, Any]:
    """A client with a connection that was open before the model knew of it."""
    client = openai.DefaultHttpxClient(trust_env=False)
    client.get(server.base_url + "/models")
    return {"http_client": client}


class TestOverAPooledConnection:
    """The steady state: the connection is open before the request."""

    @pytest.mark.parametrize("own", [False, True], ids=["the model's client", "the user's client"])
    @pytest.mark.parametrize(
        "scenario", ["no_headers", "trickle_headers:every=0.05", "no_first_token", "endless"]
    )
    def test_the_deadline_ends_the_call(self, scenario: str, own: bool, server: FakeVllm) -> None:
        model = warm(chat(server, scenario, **(own_client() if own else {})))
        server.clear()
        assert seconds(lambda: list(model.stream("Why?", stream_timeout=LIMIT))) < LATEST
        assert server.until_freed().turn == 2, "it was no pooled connection"

    def test_the_bound_for_the_first_chunk_ends_the_wait_for_the_headers(
        self, server: FakeVllm
    ) -> None:
        model = warm(chat(server, "no_headers", first_chunk_timeout=LIMIT))
        assert seconds(lambda: list(model.stream("Why?"))) < LATEST

    @pytest.mark.parametrize("scenario", ["no_headers", "endless"])
    def test_a_disconnect_ends_the_call(self, scenario: str, server: FakeVllm) -> None:
        model = warm(chat(server, scenario))
        assert left_after(lambda: model.invoke("Why?")) < LATEST
        server.until_freed()

    def test_a_connection_from_before_the_tracking_is_not_used_blindly(
        self, server: FakeVllm
    ) -> None:
        model = chat(server, "no_headers", **used_before(server))
        assert left_after(lambda: model.invoke("Why?")) < LATEST


def left_after(call: Callable[[], object]) -> float:
    """Seconds from the moment that the caller leaves until the call has ended."""
    calls, ended = CallGroup(), threading.Event()

    def work() -> None:
        with calls, pytest.raises(StreamDeadlineExceeded):
            call()
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    assert not ended.is_set()
    left = time.monotonic()
    calls.end()
    thread.join(LATEST)
    assert ended.is_set()
    return time.monotonic() - left


def test_a_disconnect_ends_the_pause_before_a_retry(server: FakeVllm) -> None:
    model = chat(server, "refuse:status=503,retry_after=20,times=0")
    assert left_after(lambda: model.invoke("Why?")) < LATEST


def test_a_pause_that_would_end_too_late_is_not_made(server: FakeVllm) -> None:
    model = chat(server, "refuse:status=503,retry_after=20,times=0", timeout=15)
    started = time.monotonic()
    with pytest.raises(openai.APIStatusError):
        model.invoke("Why?")
    assert time.monotonic() - started < 10


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does `serve` with each connection, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def shakes_hands_for_ever(connection: socket.socket) -> None:
    """Send a TLS record byte by byte, so that no read times out."""
    try:
        connection.sendall(b"\x16\x03\x03\x40\x00")
        for _ in range(600):
            connection.sendall(b"\x02")
            time.sleep(0.05)
    except OSError:
        pass


def test_a_handshake_that_trickles_ends_at_the_deadline() -> None:
    with listening(shakes_hands_for_ever) as port:
        model = ChatVllm(
            model="m", base_url=f"https://127.0.0.1:{port}/v1", timeout=LIMIT, max_retries=0
        )
        assert seconds(lambda: model.invoke("Why?")) < LATEST


def test_a_handshake_that_trickles_ends_at_a_disconnect() -> None:
    with listening(shakes_hands_for_ever) as port:
        model = ChatVllm(
            model="m", base_url=f"https://127.0.0.1:{port}/v1", timeout=LONG, max_retries=0
        )
        assert left_after(lambda: model.invoke("Why?")) < LATEST


class TestThroughAProxy:
    """HTTPS behind a proxy that is asked to CONNECT."""

    @pytest.fixture
    def behind(self, tmp_path: Path, authority: trustme.CA) -> Iterator[dict[str, Any]]:
        """The settings of a model behind a proxy, whose server answers only the first request."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(
            "127.0.0.1", not_after=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        ).configure_cert(context)
        trusted = ssl.create_default_context()
        authority.configure_trust(trusted)
        self.gone = threading.Event()
        self.answers = 0

        def serve(connection: socket.socket) -> None:
            while b"\r\n\r\n" not in connection.recv(4096):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with context.wrap_socket(connection, server_side=True) as secure:
                try:
                    while data := secure.recv(65536):
                        if b"finite" in data:
                            body = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"yes"}}]}'
                            head = (
                                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                                % len(body)
                            )
                            secure.sendall(head + body)
                            self.answers += 1
                except OSError:
                    pass
            self.gone.set()

        with listening(serve) as port:
            client = openai.DefaultHttpxClient(proxy=f"http://127.0.0.1:{port}", verify=trusted)
            yield {
                "base_url": "https://127.0.0.1:1/v1",
                "http_client": client,
                "model": "m",
                "max_retries": 0,
            }

    @pytest.mark.parametrize("pooled", [False, True], ids=["new", "pooled"])
    def test_a_disconnect_ends_the_call_through_a_proxy(
        self, pooled: bool, behind: dict[str, Any]
    ) -> None:
        model = ChatVllm(**behind, timeout=LONG)
        if pooled:
            model.invoke("finite")
        assert left_after(lambda: model.invoke("Why?")) < LATEST
        assert self.gone.wait(LATEST)
        assert self.answers == pooled


class TestThePrivateNamesOnTheWay:
    """httpx gives no public way to its pool; `_network.py` relies on these names."""

    @pytest.mark.parametrize(
        "make",
        [
            httpx2.Client,
            httpx2.AsyncClient,
            openai.DefaultHttpxClient,
            openai.DefaultAsyncHttpxClient,
        ],
    )
    def test_the_private_names_exist(self, make: Callable[..., Any]) -> None:
        found = pools(make(mounts={"http://elsewhere": None}))
        assert found
        assert all(
            hasattr(pool, name)
            for pool in found
            for name in ("_network_backend", "_http2", "_socket_options", "connections")
        )

    def test_a_client_without_the_private_names_is_traced(self, server: FakeVllm) -> None:
        http = _httpx()  # of the SDK, whichever it is

        class Wrapped(http.BaseTransport):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                self._inner = http.HTTPTransport()

            def handle_request(self, request: Any) -> Any:
                return self._inner.handle_request(request)

        client = openai.DefaultHttpxClient(transport=Wrapped())
        assert (
            seconds(
                lambda: chat(server, "no_headers", http_client=client, timeout=LIMIT).invoke("Why?")
            )
            < LATEST
        )

    def test_a_tracked_connection_is_still_one_of_httpcore(self, server: FakeVllm) -> None:
        client = openai.DefaultHttpxClient()
        warm(chat(server, http_client=client))
        with client.stream(
            "POST",
            server.base_url + "/chat/completions",
            json={"model": server.model, "messages": []},
        ) as response:
            stream = response.extensions["network_stream"]
            assert isinstance(stream, TrackedStream)
            assert isinstance(stream.get_extra_info("socket"), socket.socket)
            assert stream.get_extra_info("server_addr")
