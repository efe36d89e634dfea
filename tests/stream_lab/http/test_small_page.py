"""A small page is read or given up in time, whatever the server does."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx2
import pytest

from stream_lab.http import small_page
from stream_lab.http.client import direct_client
from stream_lab.http.small_page import SmallPages

WITHIN = 0.3  # seconds for the page
LATE = 0.6  # seconds
PATIENCE = 10.0  # seconds, after which the page counts as held
Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk) -> Iterator[tuple[int, threading.Event]]:
    """Serve connections; yield the port, and an event that a client's leaving sets."""
    gone = threading.Event()

    def one(connection: socket.socket) -> None:
        with connection:
            with suppress(OSError):
                talk(connection)
            gone.set()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1], gone
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def drip(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def handshake_that_drips(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x03\x40\x00\x02")  # the start of a long TLS record
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def error_of(url: str) -> BaseException | None:
    """Return the error of a request for a page. None: the request is held."""
    found: list[BaseException] = []

    def ask() -> None:
        with direct_client(timeout=2 * PATIENCE) as client:
            try:
                SmallPages(client, within=WITHIN).get(url)
            except BaseException as error:
                found.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return found[0] if found else None


def slowly(monkeypatch: pytest.MonkeyPatch, wait: Callable[[], object]) -> None:
    """Let each name be looked up slowly."""
    real = socket.getaddrinfo

    def look_up(*args: object, **options: object) -> object:
        wait()
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_page_that_drips_is_given_up() -> None:
    with listening(drip) as (port, gone):
        assert isinstance(error_of(f"http://127.0.0.1:{port}/"), httpx2.TimeoutException)
        assert gone.wait(PATIENCE)


def test_a_connection_that_comes_too_late_is_shut_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch, lambda: time.sleep(LATE))
    with listening(drip) as (port, gone):
        assert isinstance(error_of(f"http://127.0.0.1:{port}/"), httpx2.TimeoutException)
        assert gone.wait(PATIENCE)


def test_a_name_that_is_never_found_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = threading.Event()
    slowly(monkeypatch, found.wait)
    try:
        assert isinstance(error_of("http://127.0.0.1:9/"), httpx2.TimeoutException)
    finally:
        found.set()


def test_a_name_that_cannot_be_is_no_connection() -> None:
    assert isinstance(error_of("http://999.1.1.1/"), httpx2.ConnectError)


def test_a_handshake_that_drips_is_given_up() -> None:
    with listening(handshake_that_drips) as (port, gone):
        assert isinstance(error_of(f"https://127.0.0.1:{port}/"), httpx2.TimeoutException)
        assert gone.wait(PATIENCE)


def test_the_words_are_the_same_if_the_client_gives_up_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(small_page, "in_time", lambda work, within: work())
    with socket.create_server(("127.0.0.1", 0)) as silent, direct_client() as client:
        pages = SmallPages(client, within=WITHIN)
        with pytest.raises(httpx2.ReadTimeout, match=r"no whole answer in 0\.3 s"):
            pages.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_a_page_after_a_late_one_is_read() -> None:
    def answer(connection: socket.socket) -> None:
        if b"/late" in connection.recv(65536):
            time.sleep(LATE)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")

    with listening(answer) as (port, _), direct_client(timeout=PATIENCE) as client:
        pages = SmallPages(client, within=WITHIN)
        with pytest.raises(httpx2.ReadTimeout, match=r"no whole answer in 0\.3 s"):
            pages.get(f"http://127.0.0.1:{port}/late")
        assert pages.get(f"http://127.0.0.1:{port}/").text == "hi"
