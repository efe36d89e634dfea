"""HTTP clients for models that serve several event loops in turn, and several processes.

A pooled connection belongs to the event loop it was opened in. A client that outlives its loop, as
a model's does between two `asyncio.run`, offers the next loop a connection that is no longer read:
the request goes out, generation starts, and the call fails with "Event loop is closed". A loop that
ends without closing its connections leaves them to the collector, and Python reports each. A fork
shares the connections of its parent, so that each process may read the other's answers.
"""

import asyncio
import importlib
import os
import ssl
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from openai import DEFAULT_CONNECTION_LIMITS, DefaultAsyncHttpxClient, DefaultHttpxClient

from stream_deadline._http_clients import pools, report_to_calls


class _ClientOfLoop(DefaultAsyncHttpxClient):
    """The client of the running event loop, which closes its connections in the end.

    `asyncio.run` closes the asynchronous generators that its loop has begun, so one of them waits
    for that. A loop that is closed without `shutdown_asyncgens` closes no connection.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.until_the_end = _close_in_the_end(ref(self))
        with suppress(StopIteration):  # it is at its `yield`
            self.until_the_end.asend(None).send(None)

    async def aclose(self) -> None:
        await super().aclose()
        with suppress(RuntimeError):  # the loop is ending it
            await self.until_the_end.aclose()


async def _close_in_the_end(client: "ref[_ClientOfLoop]") -> AsyncGenerator[None]:
    """Close the idle connections at the end, and let the pool keep no others.

    The loop ends all generators at once, and one of the user's may still make a request.
    """
    try:
        yield
    finally:
        made = client()
        for pool in pools(made) if made is not None else ():
            pool._max_keepalive_connections = 0
            for connection in list(pool.connections):
                if connection.is_idle():
                    await connection.aclose()


class PerLoopClient(DefaultAsyncHttpxClient):
    """An asynchronous HTTP client that has its own connections for each event loop.

    It is made of the OpenAI SDK's client and defaults.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**_arguments(settings, "AsyncHTTPTransport"))
        self._settings = settings
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _ClientOfLoop] = (
            WeakKeyDictionary()
        )
        self._changing = threading.Lock()
        _per_loop.add(self)

    async def send(self, *args: Any, **kwargs: Any) -> Any:
        response = await self._mine().send(*args, **kwargs)
        _keep_cookies(self, response)
        return response

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        with self._changing:
            client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _mine(self) -> DefaultAsyncHttpxClient:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is not None and not client.is_closed:
            return client
        client = _ClientOfLoop(**_arguments(self._settings, "AsyncHTTPTransport"))
        report_to_calls(client)
        with self._changing:
            for other in [each for each in list(self._clients) if each.is_closed()]:
                # A client refers to its loop, so the dictionary alone would keep both for ever.
                self._clients.pop(other, None)
            self._clients[loop] = client
        return client

    def forget(self) -> None:
        """Drop the connections and the lock of the parent process."""
        # Its event loop must not be asked to end these generators, so they stay.
        _of_parents.extend(client.until_the_end for client in self._clients.values())
        self._clients = WeakKeyDictionary()
        self._changing = threading.Lock()


_per_loop: "WeakSet[PerLoopClient]" = WeakSet()
_of_parents: list[AsyncGenerator[None]] = []


# Threads that make their models at once must share the client, or its connections would be lost.
_making = threading.RLock()


def _forget() -> None:
    global _making
    _making = threading.RLock()
    for client in list(_per_loop):
        client.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class PerProcessClient(DefaultHttpxClient):
    """A synchronous HTTP client that never uses a connection of its parent process."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**_arguments(settings, "HTTPTransport"))
        self._settings = settings
        self._clients: dict[int, DefaultHttpxClient] = {}

    def send(self, *args: Any, **kwargs: Any) -> Any:
        response = self._mine().send(*args, **kwargs)
        _keep_cookies(self, response)
        return response

    def close(self) -> None:
        """Close the connections of this process."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _mine(self) -> DefaultHttpxClient:
        process = os.getpid()
        if (client := self._clients.get(process)) is not None:
            return client
        client = DefaultHttpxClient(**_arguments(self._settings, "HTTPTransport"))
        report_to_calls(client)
        # Threads that make one at once must share the first. A lock could be held in a fork.
        client = self._clients.setdefault(process, client)
        for parent in [each for each in list(self._clients) if each != process]:
            self._clients.pop(parent, None)
        return client


def per_loop_client(like: Any, base_url: str, proxy: str | None) -> PerLoopClient:
    """Return one client for all models with the same address, proxy and socket options.

    Args:
        like: the client that LangChain made; its socket options are taken over.
        base_url: the address.
        proxy: of the model; None: as the environment says.
    """
    with _making:
        return _per_loop_client(base_url, proxy, *_environment(like))


def per_process_client(like: Any, base_url: str, proxy: str | None) -> PerProcessClient:
    """Return the same for synchronous calls; see `per_loop_client`."""
    with _making:
        return _per_process_client(base_url, proxy, *_environment(like))


@lru_cache(maxsize=64)
def _per_loop_client(base_url: str, proxy: str | None, *environment: Any) -> PerLoopClient:
    return PerLoopClient(base_url=base_url, proxy=proxy, socket_options=environment[0])


@lru_cache(maxsize=64)
def _per_process_client(base_url: str, proxy: str | None, *environment: Any) -> PerProcessClient:
    return PerProcessClient(base_url=base_url, proxy=proxy, socket_options=environment[0])


def _environment(like: Any) -> tuple[Any, ...]:
    """Return what else a client depends on: LangChain's socket options, and the proxies."""
    options = next((getattr(pool, "_socket_options", None) for pool in pools(like)), None)
    proxies = tuple(os.environ.get(name) for name in _PROXIES)
    return tuple(tuple(each) for each in options or ()), proxies


_PROXIES = [
    each
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for each in (name, name.lower())
]


def _arguments(settings: dict[str, Any], transport: str) -> dict[str, Any]:
    """Return the settings as httpx takes them.

    Socket options need a transport of their own, and then the transport takes the rest too.
    """
    settings = dict(settings)
    options, proxy = settings.pop("socket_options", ()), settings.pop("proxy", None)
    verify = _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    if options:
        kind = getattr(_httpx(), transport)
        settings["transport"] = kind(
            verify=verify,
            proxy=proxy,
            socket_options=list(options),
            limits=DEFAULT_CONNECTION_LIMITS,
        )
    else:
        settings.update(verify=verify, proxy=proxy)
    return settings


def _keep_cookies(client: Any, response: Any) -> None:
    """Keep a gateway's cookies, which name the server to return to, for the outer client."""
    for each in (*response.history, response):
        if "set-cookie" in each.headers:
            client.cookies.extract_cookies(each)


@lru_cache(maxsize=4)
def _certificates(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Return httpx's default certificates, shared since loading them takes tens of milliseconds.

    Args:
        file: SSL_CERT_FILE of the environment, so that a change is noticed.
        folder: SSL_CERT_DIR of the environment, likewise.
    """
    context: ssl.SSLContext = _httpx().create_ssl_context()
    return context


@lru_cache(maxsize=1)
def _httpx() -> Any:
    """Return httpx or httpx2, whichever the SDK's clients are made of."""
    package = next(
        each.__module__  # both give their classes the name of the package
        for each in DefaultAsyncHttpxClient.__mro__
        if each.__name__ == "AsyncClient"
    )
    return importlib.import_module(package)
