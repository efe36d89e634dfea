"""Learn which connection a request goes over, which httpcore's pool does not tell.

A pooled connection becomes visible with the response, which is too late if a server holds its
headers back. The network backend under the pool writes the request in the context of the call that
makes it, and so knows both.

`network_backend` is a public argument of httpcore's pools, and its streams are a public interface
(https://www.encode.io/httpcore/network-backends/), but httpx makes the pool itself. The names on
the way there are private. A test checks that they exist; a client without them is tracked by its
`trace` extension instead (`_connection.py`).
"""

import asyncio
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from stream_deadline._shutdown import same_socket

_PROCESS = os.getpid()
# How many transports may wrap one another: a cache's, one that signs requests, a bounded one.
_DEPTH = 5


def _forked() -> None:
    global _PROCESS
    _PROCESS = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Caller(Protocol):
    """One call, as far as connections are concerned: a `ConnectionTracker`."""

    token: object

    def connected(self, stream: Any) -> None: ...

    def time_left(self, given: float | None) -> float | None: ...

    def pause(self, length: float) -> None: ...

    @property
    def is_over(self) -> bool: ...


class CurrentCaller(Protocol):
    """Returns the call whose request is being written; None: a call of other code."""

    def __call__(self) -> Caller | None: ...


def track_transport(transport: Any, caller: CurrentCaller, *, blocking: bool) -> bool:
    """Let the connections of a transport tell each call which of them it uses.

    Args:
        transport: of httpx or httpx2.
        caller: returns the call that is running.
        blocking: whether the transport is synchronous.

    Returns:
        Whether the connections can be reached.
    """
    pool = pool_under(transport)
    if pool is None:
        return False
    _track_pool(pool, caller, blocking=blocking)
    return True


def pool_under(transport: Any) -> Any:
    """Return the httpcore pool of a transport, or of one that it wraps.

    None: there is none, or it has no network backend.
    """
    level = [transport]
    for _ in range(_DEPTH):
        for each in level:
            pool = getattr(each, "_pool", None)
            if hasattr(pool, "_network_backend"):
                return pool
        level = [inner for each in level for inner in _attributes(each) if _is_transport(inner)]
    return None


def _attributes(thing: Any) -> list[Any]:
    return list(getattr(thing, "__dict__", {}).values())


def _is_transport(thing: Any) -> bool:
    return hasattr(thing, "handle_request") or hasattr(thing, "handle_async_request")


def _track_pool(pool: Any, caller: CurrentCaller, *, blocking: bool) -> None:
    backend = pool._network_backend
    if not isinstance(backend, _Backend):
        pool._network_backend = (_SyncBackend if blocking else _AsyncBackend)(pool, caller)
        if blocking:
            _drop_idle(pool)


def _drop_idle(pool: Any) -> None:
    """Close the idle connections, which were opened untracked. A connection in use stays."""
    with getattr(pool, "_optional_thread_lock", None) or nullcontext():
        for connection in pool.connections:
            if connection.is_idle():
                connection.close()  # the pool drops closed ones by itself


class TrackedStream:
    """A connection of httpcore that knows whose request it carries.

    Attributes:
        owner: the `token` of the call whose request was written last.
        reused: whether that request found the connection open, after an earlier answer.
        heard: whether a byte has come since.
        sent_at: when writing that request began, on the monotonic clock.
        opened_in: seconds that opening it took, which is a measure of the round trip.
        secure: whether it has TLS, where an orderly end and a broken one look the same.
        is_ended: whether its call has ended it.
    """

    def __init__(
        self,
        inner: Any,
        caller: CurrentCaller,
        opened_in: float,
        *,
        secure: bool = False,
        pool: Callable[[], Any] = lambda: None,
    ) -> None:
        self._inner = inner
        self._pool = pool
        self.secure = secure
        self._caller = caller
        self.opened_in = opened_in
        self.sent_at = 0.0
        self._process = _PROCESS
        self.owner: object = None
        self.reused = False
        self.heard = self.is_ended = False
        self._changing_hands = threading.Lock()

    def end_for(self, owner: object, end: Callable[[], None]) -> None:
        """Call `end` if the connection still carries the request of `owner`.

        No other request is written meanwhile.
        """
        with self._changing_hands:
            if self.owner is owner:
                self.is_ended = True
                end()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self._process != _PROCESS:
            # It belongs to the parent process. A pool drops an idle connection that is readable,
            # since only its end can be there to read.
            return True
        return self._inner.get_extra_info(info)

    def _to_close(self) -> Any:
        """Return what to close if TLS fails: the pool's connection, or its stream.

        Behind a proxy, httpcore would keep the connection in its pool for ever, as one in use
        (1.0.9, and httpcore2 2.7).
        """
        for tunnel in getattr(self._pool(), "connections", ()):
            to_proxy = getattr(getattr(tunnel, "_connection", None), "_connection", None)
            if getattr(to_proxy, "_network_stream", None) is self:
                return to_proxy
        return self._inner

    def _claim(self) -> None:
        caller = self._caller()
        owner = None if caller is None else caller.token
        if self.heard or owner is not self.owner:
            with self._changing_hands:
                self.reused, self.heard = self.heard, False
                self.owner, self.sent_at = owner, time.monotonic()
                # If it was ended as the last call left it, the socket tells, and the client may
                # send the request again.
                self.is_ended = False
            if caller is not None:
                caller.connected(self)


class _SyncStream(TrackedStream):
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.is_ended:
            # The shutdown would show only after megabytes that the kernel has buffered. An error,
            # and not an end, keeps the client from reading what has come as a whole answer.
            raise ConnectionAbortedError("The call of this connection is over.")
        data: bytes = self._inner.read(max_bytes, timeout)
        if data:
            self.heard = True
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._claim()
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_SyncStream":
        try:
            with self._shaking_hands():
                inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            self._to_close().close()
            raise
        return _SyncStream(inner, self._caller, self.opened_in, secure=True, pool=self._pool)

    @contextmanager
    def _shaking_hands(self) -> Iterator[None]:
        """Let the call end its connection during the handshake, while TLS takes the socket over."""
        caller, connection = self._caller(), self._inner.get_extra_info("socket")
        if caller is None or not isinstance(connection, socket.socket):
            yield
            return
        with same_socket(connection) as same:
            self.owner = caller.token
            caller.connected(_Handshake(same))
            yield


class _Handshake:
    """A connection that can be shut down, and nothing else."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def get_extra_info(self, info: str) -> Any:
        return self._connection if info == "socket" else None

    def close(self) -> None:
        pass


class AsyncStream(TrackedStream):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writing = asyncio.Lock()  # over HTTP/2 several tasks write

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = await self._inner.read(max_bytes, timeout)
        if data:
            self.heard = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._claim()
        async with self._writing:
            await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "AsyncStream":
        self._claim()
        try:
            inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            # httpcore closes it after an error, but not after a cancellation.
            await self._to_close().aclose()
            raise
        return AsyncStream(inner, self._caller, self.opened_in, secure=True, pool=self._pool)


class _Backend:
    def __init__(self, pool: Any, caller: CurrentCaller) -> None:
        self._inner = pool._network_backend
        self._caller = caller
        self._pool = weakref.ref(pool)  # a pool that is dropped is freed at once


class _SyncBackend(_Backend):
    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **settings: Any
    ) -> _SyncStream:
        began = time.monotonic()
        if (caller := self._caller()) is not None:
            timeout = caller.time_left(timeout)  # this may be one more try of the pool's
        stream = self._inner.connect_tcp(host, port, timeout, **settings)
        return _SyncStream(stream, self._caller, time.monotonic() - began, pool=self._pool)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> _SyncStream:
        return _SyncStream(self._inner.connect_unix_socket(*args, **kwargs), self._caller, 0.0)

    def sleep(self, seconds: float) -> None:
        caller = self._caller()
        if caller is None:
            self._inner.sleep(seconds)
            return
        caller.pause(caller.time_left(seconds) or 0.0)
        # The pool pauses where it handles the failure to connect.
        if caller.is_over and (failure := sys.exception()) is not None:
            raise failure


class _AsyncBackend(_Backend):
    async def connect_tcp(self, *args: Any, **kwargs: Any) -> AsyncStream:
        began = time.monotonic()
        stream = await self._inner.connect_tcp(*args, **kwargs)
        return AsyncStream(stream, self._caller, time.monotonic() - began, pool=self._pool)

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> AsyncStream:
        return AsyncStream(
            await self._inner.connect_unix_socket(*args, **kwargs), self._caller, 0.0
        )

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
