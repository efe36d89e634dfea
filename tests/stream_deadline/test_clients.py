"""The HTTP clients that models share."""

import asyncio
import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import ref

import httpx
import httpx2
import openai
import pytest

from stream_deadline import ChatVllm, _clients
from stream_deadline._budget import Bounds, Budget
from stream_deadline._clients import (
    PerLoopClient,
    PerProcessClient,
    per_loop_client,
    per_process_client,
)
from stream_deadline._connection import ConnectionTracker
from stream_deadline._http_clients import pools
from tests.stream_deadline.in_memory import FAMILY, InMemory, of
from tests.stream_deadline.pools import a_pool

THREADS = 4


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of these tests names no proxy."""
    for name in _clients._PROXIES:
        monkeypatch.delenv(name, raising=False)


def at_once(work: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [each.result() for each in [pool.submit(work) for _ in range(THREADS)]]


def test_threads_that_call_for_the_first_time_at_once_share_one_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connections of another one would be closed by the collector."""
    all_are_here = threading.Barrier(THREADS, timeout=30)

    class Slow(openai.DefaultHttpxClient):
        def __init__(self, **settings: Any) -> None:
            all_are_here.wait()
            super().__init__(**settings)

    client = _clients.PerProcessClient(base_url="http://server/v1")
    monkeypatch.setattr(_clients, "DefaultHttpxClient", Slow)
    assert len(set(map(id, at_once(client._mine)))) == 1
    client.close()


@pytest.mark.parametrize("name", ["PerProcessClient", "PerLoopClient"])
def test_threads_that_make_models_at_once_share_one_client(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    kind = getattr(_clients, name)
    more = threading.Event()

    def slowly(**settings: Any) -> Any:
        made.append(client := kind(**settings))
        more.wait(0.2)  # as long as another thread would need to make another
        return client

    monkeypatch.setattr(_clients, name, slowly)
    address = f"http://server/{name}"
    at_once(lambda: ChatVllm(model="m", base_url=address, api_key="none"))
    assert len(made) == 1


@pytest.mark.parametrize("family", [httpx, httpx2])
def test_the_pools_have_the_setting_that_keeps_no_idle_connection(family: Any) -> None:
    [pool] = pools(family.AsyncClient())
    assert isinstance(pool._max_keepalive_connections, int)
    assert pool.connections == []


URL = "http://server:8000/v1"
NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
OPTIONS = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
by_kind = pytest.mark.parametrize("kind", [PerProcessClient, PerLoopClient])


def in_memory(kind: type, answer: Callable[[Any], Any]) -> Any:
    return kind(transport=FAMILY.MockTransport(InMemory(answer)))


def run(client: Any, work: Callable[[Any], Any]) -> Any:
    """Let a client work, in an event loop of its own if it needs one."""
    if isinstance(client, PerProcessClient):
        return work(client)

    async def play() -> Any:
        made = work(client)
        return await made if asyncio.iscoroutine(made) else made

    return asyncio.run(play())


def made_by(client: Any) -> Any:
    """The client that does the work."""
    return run(client, lambda client: client._mine())


def moved_once() -> Callable[[Any], Any]:
    """Answer the first request with a redirect and a cookie."""
    answers = [of(302, location="/v2", set_cookie="gateway=7")]
    return lambda _: answers.pop() if answers else of(200, "Hello")


@by_kind
def test_a_response_is_that_of_the_server_and_its_cookies_stay_with_the_client(kind: type) -> None:
    client = in_memory(kind, moved_once())
    assert run(client, lambda client: client.get(URL)).text == "Hello"
    assert dict(client.cookies) == {"gateway": "7"}
    other = in_memory(kind, lambda _: of(200, set_cookie="a=1"))
    run(other, lambda client: client.get(URL))
    assert dict(other.cookies) == {"a": "1"}
    plain = in_memory(kind, lambda _: of(200))
    run(plain, lambda client: client.get(URL))
    assert dict(plain.cookies) == {}


@by_kind
def test_a_request_reports_to_its_call(kind: type) -> None:
    call = ConnectionTracker(Budget(Bounds(45), time.monotonic), blocking=False)
    client = in_memory(kind, lambda _: of(200))
    call.context().run(run, client, lambda client: client.get(URL))
    assert call.budget.host == "server:8000"


def test_each_event_loop_has_one_client_of_its_own_and_a_new_one_after_a_close() -> None:
    client = PerLoopClient()
    seen: list[Any] = []

    async def play() -> None:
        await client.aclose()  # there is none yet
        made = client._mine()
        generator = made.until_the_end  # type: ignore[attr-defined]
        assert client._mine() is made
        await client.aclose()
        assert made.is_closed
        assert generator.ag_frame is None
        second = client._mine()
        assert second is not made
        assert not second.is_closed
        await second.aclose()
        third = client._mine()
        assert third not in (made, second)
        seen.append(third)

    asyncio.run(play())
    asyncio.run(play())
    assert seen[0] is not seen[1]


def test_the_client_of_a_loop_that_was_closed_is_not_kept() -> None:
    client = PerLoopClient()
    kept = ref(made_by(client))
    made_by(client)
    gc.collect()
    assert kept() is None


def test_the_client_of_the_process_is_made_once_and_anew_after_a_close_and_a_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = PerProcessClient()
    client.close()  # there is none yet
    made = client._mine()
    assert client._mine() is made
    client.close()
    assert made.is_closed
    second = client._mine()
    assert second is not made
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        in_fork = client._mine()
        assert in_fork is not second
        assert client._mine() is in_fork
    assert client._mine() not in (second, in_fork)
    client.close()


class Connection:
    """A connection of a pool."""

    def __init__(self, idle: bool) -> None:
        self.idle, self.is_closed = idle, False

    def is_idle(self) -> bool:
        return self.idle

    async def aclose(self) -> None:
        self.is_closed = True


class Pooled(FAMILY.AsyncBaseTransport):  # type: ignore[misc]
    """A transport over a pool with an idle connection and one in use."""

    def __init__(self) -> None:
        self._pool = a_pool(_max_keepalive_connections=100)
        self._pool.connections = [Connection(True), Connection(False)]

    async def handle_async_request(self, request: Any) -> Any:
        return of(200)


def test_at_the_end_of_a_loop_idle_connections_are_closed_and_none_is_kept_any_more() -> None:
    transport = Pooled()
    client = PerLoopClient(transport=transport)
    pool = transport._pool

    async def play() -> None:
        await client.get(URL)
        assert [each.is_closed for each in pool.connections] == [False, False]
        assert pool._max_keepalive_connections == 100

    asyncio.run(play())
    assert [each.is_closed for each in pool.connections] == [True, False]
    assert pool._max_keepalive_connections == 0


def test_a_client_that_was_dropped_before_the_end_of_its_loop_is_no_error() -> None:
    errors: list[Any] = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: errors.append(told))
        generator = PerLoopClient()._mine().until_the_end  # type: ignore[attr-defined]
        gc.collect()
        assert generator.ag_frame is not None

    asyncio.run(play())
    assert errors == []


def test_a_client_forgets_what_its_parent_process_had_and_ends_no_generator_of_its_loop() -> None:
    client = PerLoopClient()
    lock = client._changing

    async def play() -> None:
        made = client._mine()
        generator = ref(made.until_the_end)  # type: ignore[attr-defined]
        with lock:  # a thread of the parent may hold it
            client.forget()
            assert not client._changing.locked()
        assert client._mine() is not made
        del made
        gc.collect()
        kept = generator()
        assert kept is not None
        assert kept.ag_frame is not None

    asyncio.run(play())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_clients_of_event_loops_are_forgotten_in_a_fork() -> None:
    client = PerLoopClient()

    async def make() -> None:
        client._mine()

    with asyncio.Runner() as runner:
        runner.run(make())
        child = os.fork()
        if child == 0:
            os._exit(len(client._clients))
        assert len(client._clients) == 1
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


MAKERS: dict[str, Callable[..., Any]] = {
    "process": per_process_client,
    "loop": per_loop_client,
}
by_maker = pytest.mark.parametrize("maker", MAKERS.values(), ids=list(MAKERS))


def like(options: Any = None) -> Any:
    """A client as LangChain makes it."""
    return FAMILY.Client(transport=FAMILY.HTTPTransport(socket_options=options))


@by_maker
def test_models_with_the_same_address_proxy_and_socket_options_share_a_client(maker: Any) -> None:
    shared = maker(like(), URL, None)
    assert maker(like(), URL, None) is shared
    assert maker(object(), URL, None) is shared
    others = [
        maker(like(), "http://other/v1", None),
        maker(like(), URL, "http://proxy:1"),
        maker(like(OPTIONS), URL, None),
    ]
    assert len({id(each) for each in [shared, *others]}) == 4
    assert maker(like(OPTIONS), URL, None) is others[2]
    assert str(shared.base_url) == f"{URL}/"


@by_maker
@pytest.mark.parametrize("name", [*NAMES, *map(str.lower, NAMES)])
def test_another_proxy_of_the_environment_means_another_client(
    name: str, maker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = maker(like(), URL, None)
    monkeypatch.setenv(name, "http://proxy:2")
    assert maker(like(), URL, None) is not before


@by_maker
@pytest.mark.parametrize("options", [None, OPTIONS])
@pytest.mark.parametrize("proxy", [None, "http://proxy:1"])
def test_a_client_takes_over_socket_options_and_the_proxy(
    proxy: str | None, options: Any, maker: Any
) -> None:
    client = maker(like(options), URL, proxy)
    of_outer, of_inner = pools(client), pools(made_by(client))
    for found in (of_outer, of_inner):
        assert any("Proxy" in type(each).__name__ for each in found) is (proxy is not None)
        plain = [each for each in found if "Proxy" not in type(each).__name__]
        for each in plain if proxy is None else []:
            assert list(each._socket_options or ()) == list(options or ())
        if proxy is not None and options:
            assert list(found[0]._socket_options) == options


@by_kind
def test_the_certificates_are_those_that_the_environment_names(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    context = ssl.create_default_context()

    def certificates(*given: Any) -> ssl.SSLContext:
        asked.append(given)
        return context

    monkeypatch.setenv("SSL_CERT_FILE", "one.pem")
    monkeypatch.setenv("SSL_CERT_DIR", "folder")
    monkeypatch.setattr(_clients, "_certificates", certificates)
    for settings in ({}, {"socket_options": OPTIONS}):
        client = kind(**settings)
        assert {pool._ssl_context for pool in pools(client)} == {context}
    assert set(asked) == {("one.pem", "folder")}


def test_the_certificates_are_loaded_once() -> None:
    context = _clients._certificates(None, None)
    assert isinstance(context, ssl.SSLContext)
    assert _clients._certificates(None, None) is context
