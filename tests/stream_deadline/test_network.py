"""Which connection a request goes over, learnt from the backend under a pool."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_deadline import _network
from stream_deadline._network import AsyncStream, _SyncStream, pool_under, track_transport
from tests.stream_deadline.pools import a_pool
from tests.stream_deadline.still_clock import Clock


class Call:
    """A call, as far as its connections are concerned."""

    def __init__(self) -> None:
        self.token = object()
        self.streams: list[Any] = []
        self.asked: list[float | None] = []
        self.paused: list[float] = []
        self.is_over = False

    def pause(self, length: float) -> None:
        self.paused.append(length)

    def connected(self, stream: Any) -> None:
        self.streams.append(stream)

    def time_left(self, given: float | None) -> float | None:
        self.asked.append(given)
        return 3.0


class Inner:
    """A stream of httpcore's, which notes what it is asked for."""

    def __init__(self, connection: Any = None) -> None:
        self.seen: list[Any] = []
        self._connection = connection

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self._connection, "is_readable": False}.get(name)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.seen.append((buffer, timeout))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.seen.append((max_bytes, timeout))
        return b"x"

    def close(self) -> None:
        self.seen.append("closed")

    def start_tls(self, *given: Any) -> Any:
        self.seen.append(given)
        return Inner(self._connection)


class AsyncInner(Inner):
    """The same in an event loop; `fails`: the handshake does."""

    def __init__(self, fails: BaseException | None = None) -> None:
        super().__init__()
        self._fails = fails

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # type: ignore[override]
        self.seen.append((buffer, timeout))
        await asyncio.sleep(0)
        self.seen.append("written")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # type: ignore[override]
        return super().read(max_bytes, timeout)

    async def aclose(self) -> None:
        self.close()

    async def start_tls(self, *given: Any) -> Any:
        if self._fails is not None:
            raise self._fails
        self.seen.append(given)
        return AsyncInner()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_network, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    near, far = socket.socketpair()
    with near, far:
        yield near


# From a transport to its pool


class Transport:
    """A transport of any kind, with what is given as its attributes."""

    def __init__(self, **inside: Any) -> None:
        vars(self).update(inside)

    def handle_request(self, request: Any) -> Any: ...


class AsyncTransport:
    def __init__(self, **inside: Any) -> None:
        vars(self).update(inside)

    async def handle_async_request(self, request: Any) -> Any: ...


class NoTransport:
    def __init__(self, **inside: Any) -> None:
        vars(self).update(inside)


def nested(kind: type, pool: Any, depth: int) -> Any:
    transport = kind(_pool=pool)
    for _ in range(depth):
        transport = kind(_pool=object(), note="a text", inner=transport)
    return transport


@pytest.mark.parametrize("kind", [Transport, AsyncTransport])
def test_a_pool_is_found_under_up_to_four_transports_around_it(kind: type) -> None:
    pool = a_pool()
    for depth in range(5):
        assert pool_under(nested(kind, pool, depth)) is pool
    assert pool_under(nested(kind, pool, 9)) is None


@pytest.mark.parametrize(
    "transport",
    [
        object(),
        Transport(),
        Transport(_pool=object()),
        Transport(inner=NoTransport(_pool=a_pool())),
    ],
)
def test_a_transport_without_a_pool_of_httpcores_is_not_tracked(transport: Any) -> None:
    assert pool_under(transport) is None
    assert track_transport(transport, lambda: None, blocking=True) is False


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pool_is_tracked_once_and_a_blocking_one_drops_its_idle_connections(
    blocking: bool,
) -> None:
    closed: list[str] = []

    class Connection:
        def __init__(self, name: str) -> None:
            self._name = name

        def is_idle(self) -> bool:
            return self._name == "idle"

        def close(self) -> None:
            closed.append(self._name)

    pool = a_pool()
    pool.connections = [Connection("busy"), Connection("idle")]
    before = pool._network_backend
    transport = Transport(_pool=pool)
    assert track_transport(transport, lambda: None, blocking=blocking) is True
    backend = pool._network_backend
    assert backend is not before
    assert closed == (["idle"] if blocking else [])
    assert track_transport(transport, lambda: None, blocking=blocking) is True
    assert pool._network_backend is backend
    assert asyncio.iscoroutinefunction(backend.connect_tcp) is not blocking


# From a backend to its streams


@pytest.mark.parametrize(("has_call", "timeout"), [(True, 3.0), (False, 9.0)])
def test_a_blocking_connection_opens_within_what_is_left_of_its_call(
    has_call: bool, timeout: float, clock: Clock
) -> None:
    call, opened = Call(), list[Any]()

    def connect(*given: Any, **more: Any) -> Inner:
        opened.append((given, more))
        clock.time += 2
        return Inner()

    pool = a_pool()
    pool._network_backend = SimpleNamespace(connect_tcp=connect)
    track_transport(Transport(_pool=pool), lambda: call if has_call else None, blocking=True)
    stream = pool._network_backend.connect_tcp("gpu", 80, 9.0, local_address="here")
    assert opened == [(("gpu", 80, timeout), {"local_address": "here"})]
    assert call.asked == ([9.0] if has_call else [])
    assert (stream.opened_in, stream.secure) == (2, False)
    stream.write(b"POST")
    assert call.streams == ([stream] if has_call else [])


def test_an_asynchronous_connection_knows_how_long_it_took_to_open(clock: Clock) -> None:
    call, opened = Call(), list[Any]()

    async def connect(*given: Any, **more: Any) -> AsyncInner:
        opened.append((given, more))
        clock.time += 2
        return AsyncInner()

    async def play() -> None:
        pool = a_pool()
        pool._network_backend = SimpleNamespace(connect_tcp=connect)
        track_transport(AsyncTransport(_pool=pool), lambda: call, blocking=False)
        stream = await pool._network_backend.connect_tcp("gpu", 80, timeout=9.0)
        assert opened == [(("gpu", 80), {"timeout": 9.0})]
        assert (stream.opened_in, stream.secure) == (2, False)
        await stream.write(b"POST")
        assert call.streams == [stream]

    asyncio.run(play())


def test_unix_sockets_and_pauses_are_those_of_the_backend_beneath() -> None:
    call, slept = Call(), list[float]()
    pool, other = a_pool(), a_pool()
    pool._network_backend = SimpleNamespace(
        connect_unix_socket=lambda *given, **more: Inner((given, more)), sleep=slept.append
    )
    track_transport(Transport(_pool=pool), lambda: None, blocking=True)
    stream = pool._network_backend.connect_unix_socket("/socket", timeout=5)
    pool._network_backend.sleep(0.5)
    assert stream.get_extra_info("socket") == (("/socket",), {"timeout": 5})
    assert (stream.opened_in, slept) == (0, [0.5])

    async def connect(*given: Any, **more: Any) -> AsyncInner:
        assert (given, more) == (("/socket",), {"timeout": 5})
        return AsyncInner()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def play() -> None:
        other._network_backend = SimpleNamespace(connect_unix_socket=connect, sleep=sleep)
        track_transport(AsyncTransport(_pool=other), lambda: call, blocking=False)
        stream = await other._network_backend.connect_unix_socket("/socket", timeout=5)
        await other._network_backend.sleep(0.25)
        assert (stream.opened_in, slept) == (0, [0.5, 0.25])

    asyncio.run(play())


def test_the_pause_between_two_attempts_to_connect_is_the_calls() -> None:
    call, pool = Call(), a_pool()
    pool._network_backend = SimpleNamespace()
    track_transport(Transport(_pool=pool), lambda: call, blocking=True)
    for call.is_over in (False, True):
        pool._network_backend.sleep(8.0)  # no attempt has failed
    assert (call.asked, call.paused) == ([8.0, 8.0], [3.0, 3.0])
    try:
        raise OSError("refused")
    except OSError:
        with pytest.raises(OSError, match="refused"):
            pool._network_backend.sleep(8.0)
        call.is_over = False
        pool._network_backend.sleep(8.0)


# What a stream knows


def test_a_connection_that_its_call_has_ended_is_read_no_more() -> None:
    call, other = Call(), Call()
    stream = _SyncStream(inner := Inner(), lambda: call, 0.5)
    stream.write(b"POST")
    stream.end_for(other.token, lambda: inner.seen.append("ended"))
    assert stream.read(9) == b"x"
    stream.end_for(call.token, lambda: inner.seen.append("ended"))
    with pytest.raises(ConnectionAbortedError):
        stream.read(9)
    assert inner.seen == [(b"POST", None), (9, None), "ended"]


def test_a_connection_that_was_ended_as_its_call_left_it_tells_the_next_call_itself() -> None:
    """The error of the socket is one after which clients send a request again."""
    calls = [Call(), Call()]
    stream = _SyncStream(inner := Inner(), lambda: calls[0], 0.5)
    stream.write(b"POST")
    stream.end_for(calls.pop(0).token, lambda: None)
    stream.write(b"POST")
    assert stream.read(9) == b"x"
    assert inner.seen == [(b"POST", None), (b"POST", None), (9, None)]


def test_a_stream_knows_whose_request_it_carries_and_since_when(clock: Clock) -> None:
    first, second = Call(), Call()
    working: list[Call | None] = [first]
    inner = Inner()
    stream = _SyncStream(inner, lambda: working[0], 0.5)
    assert (stream.owner, stream.reused, stream.heard) == (None, False, False)
    assert (stream.secure, stream.opened_in, stream.sent_at) == (False, 0.5, 0)
    stream.write(b"POST", 4.0)
    clock.time += 1
    stream.write(b"body", 4.0)
    assert (stream.owner, stream.sent_at, stream.reused) == (first.token, 1000, False)
    assert stream.read(9, 5.0) == b"x"
    assert inner.seen == [(b"POST", 4.0), (b"body", 4.0), (9, 5.0)]
    working[0] = second
    stream.write(b"POST")
    assert (stream.owner, stream.sent_at, stream.reused, stream.heard) == (
        second.token,
        1001,
        True,
        False,
    )
    working[0] = None
    stream.write(b"POST")
    assert stream.owner is None
    assert (first.streams, second.streams) == ([stream], [stream])
    stream.close()
    assert inner.seen[-1] == "closed"


def test_a_stream_is_ended_for_the_call_whose_request_it_carries_and_for_no_other() -> None:
    call, ended = Call(), list[str]()
    stream = _SyncStream(Inner(), lambda: call, 0.0)
    stream.write(b"POST")
    stream.end_for(object(), lambda: ended.append("another's"))
    stream.end_for(call.token, lambda: ended.append("mine"))
    assert ended == ["mine"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_connection_of_the_parent_looks_readable_in_a_fork_and_one_of_its_own_does_not() -> None:
    before = _SyncStream(Inner(), lambda: None, 0.0)
    child = os.fork()
    if child == 0:
        own = _SyncStream(Inner(), lambda: None, 0.0)
        looks = [each.get_extra_info("is_readable") for each in (before, own)]
        os._exit(0 if looks == [True, False] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert before.get_extra_info("is_readable") is False


# TLS


def test_a_blocking_handshake_can_be_ended_by_its_call(connection: socket.socket) -> None:
    call, numbers = Call(), list[int]()

    class Shaking(Inner):
        def start_tls(self, *given: Any) -> Any:
            [shown] = call.streams
            same = shown.get_extra_info("socket")
            numbers.extend((same.fileno(), connection.fileno()))
            assert same.getsockname() == connection.getsockname()
            assert shown.get_extra_info("is_readable") is None
            shown.close()
            assert same.fileno() != -1
            assert stream.owner is call.token
            return super().start_tls(*given)

    inner = Shaking(connection)
    stream = _SyncStream(inner, lambda: call, 0.5)
    secured = stream.start_tls("context", "gpu", 4.0)
    assert inner.seen == [("context", "gpu", 4.0)]
    assert (secured.secure, secured.opened_in) == (True, 0.5)
    assert numbers[0] != numbers[1]
    assert call.streams[0].get_extra_info("socket").fileno() == -1
    assert connection.fileno() != -1
    secured.write(b"POST")
    assert call.streams[1:] == [secured]


def test_a_blocking_handshake_inside_another_ones_tls_can_be_ended(
    connection: socket.socket,
) -> None:
    """An https:// proxy leads to one. An SSLSocket has no `dup`."""
    secure = ssl.create_default_context().wrap_socket(
        connection, server_hostname="proxy", do_handshake_on_connect=False
    )
    call = Call()
    with secure:
        stream = _SyncStream(Inner(secure), lambda: call, 0.5)
        assert stream.start_tls("context", "gpu", 4.0).secure
    assert len(call.streams) == 1


@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt()])
def test_a_connection_whose_blocking_handshake_fails_is_closed(
    error: BaseException, connection: socket.socket
) -> None:
    class Fails(Inner):
        def start_tls(self, *given: Any) -> Any:
            raise error

    inner = Fails(connection)
    with pytest.raises(type(error)):
        _SyncStream(inner, Call, 0.5).start_tls("context", "gpu", 4.0)
    assert inner.seen == ["closed"]


@pytest.mark.parametrize("what", ["no call", "no socket"])
def test_a_handshake_that_is_not_of_a_call_or_has_no_socket_is_shown_to_none(
    what: str, connection: socket.socket
) -> None:
    call = Call()
    inner = Inner(connection if what == "no call" else object())
    stream = _SyncStream(inner, lambda: None if what == "no call" else call, 0.5)
    assert stream.start_tls("context", "gpu", 4.0).secure
    assert (call.streams, stream.owner) == ([], None)
    assert inner.seen == [("context", "gpu", 4.0)]


def test_an_asynchronous_handshake_belongs_to_its_call_and_is_closed_if_it_fails() -> None:
    async def play() -> None:
        call, inner = Call(), AsyncInner()
        stream = AsyncStream(inner, lambda: call, 0.5)
        secured = await stream.start_tls("context", "gpu", 4.0)
        assert (secured.secure, secured.opened_in) == (True, 0.5)
        assert inner.seen == [("context", "gpu", 4.0)]
        assert call.streams == [stream]
        await secured.write(b"POST")
        assert call.streams == [stream, secured]
        for error in (OSError("no"), asyncio.CancelledError()):
            inner = AsyncInner(fails=error)
            with pytest.raises(type(error)):
                await AsyncStream(inner, lambda: call, 0.5).start_tls("context")
            assert inner.seen == ["closed"]

    asyncio.run(play())


def test_tasks_that_share_a_connection_write_one_after_the_other() -> None:
    async def play() -> None:
        call, inner = Call(), AsyncInner()
        stream = AsyncStream(inner, lambda: call, 0.0)
        await asyncio.gather(stream.write(b"one", 4.0), stream.write(b"two"))
        assert inner.seen == [(b"one", 4.0), "written", (b"two", None), "written"]
        assert await stream.read(9, 5.0) == b"x"
        assert inner.seen[-1] == (9, 5.0)
        assert stream.heard
        assert call.streams == [stream]
        await stream.aclose()
        assert inner.seen[-1] == "closed"

    asyncio.run(play())
