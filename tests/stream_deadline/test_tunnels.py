"""A TLS handshake that fails behind a proxy leaves the client's pool as it was."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from stream_deadline import StreamDeadlineExceeded, bounded_client

T = 0.5
SILENT, GARBAGE = b"", b"Hello, and welcome.\r\n" * 10


@contextmanager
def proxy(says: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Open each tunnel to a server that says this; yield address and requests."""
    asked: list[bytes] = []

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            asked.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            connection.recv(1)
            connection.sendall(says)
            while not says and connection.recv(65536):
                pass

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def settings(library: ModuleType, url: str) -> dict[str, Any]:
    limits = library.Limits(max_connections=1)
    return {"proxy": url, "limits": limits, "verify": False, "timeout": 60, "trust_env": False}


def blocking(library: ModuleType, url: str) -> list[Exception]:
    found: list[Exception] = []
    with library.Client(**settings(library, url)) as client:
        bounded_client(client, T)
        for _ in range(3):
            try:
                client.get("https://example.test/")
            except Exception as error:
                found.append(error)
    return found


def asynchronous(library: ModuleType, url: str) -> list[Exception]:
    found: list[Exception] = []

    async def ask() -> None:
        async with library.AsyncClient(**settings(library, url)) as client:
            bounded_client(client, T)
            for _ in range(3):
                try:
                    await client.get("https://example.test/")
                except Exception as error:
                    found.append(error)

    asyncio.run(ask())
    return found


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("ask", [blocking, asynchronous])
@pytest.mark.parametrize("says", [SILENT, GARBAGE], ids=["silent", "garbage"])
def test_each_handshake_that_fails_gives_its_place_in_the_pool_back(
    says: bytes,
    ask: Callable[[ModuleType, str], list[Exception]],
    library: ModuleType,
) -> None:
    with proxy(says) as (url, asked):
        errors = ask(library, url)
    assert len(asked) == 3
    expected = StreamDeadlineExceeded if says == SILENT else library.ConnectError
    assert [isinstance(error, expected) for error in errors] == [True] * 3
