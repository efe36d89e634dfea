"""A connection that is shut down wakes its readers, and may be closed."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from stream_deadline._shutdown import end_stream, shut_down
from tests.stream_deadline.wires import is_at_its_end


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    far.setblocking(False)
    with near, far:
        yield near, far


class OfLoop:
    """What an event loop shows in the place of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.fileno = connection.fileno


class Stream:
    """A stream of httpcore."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self._connection}.get(name)

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize("of_loop", [False, True])
def test_a_shutdown_shows_both_sides_the_end_and_closes_nothing(
    of_loop: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    assert not is_at_its_end(far)
    shut_down(OfLoop(near) if of_loop else near)
    assert is_at_its_end(far)
    assert near.recv(1) == b""
    assert near.fileno() != -1


def test_no_socket_and_a_closed_one_are_no_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair
    shut_down(None)
    near.close()
    shut_down(near)
    shut_down(OfLoop(near))


@pytest.mark.parametrize("in_use", [False, True])
def test_a_stream_is_shut_down_and_closed_unless_it_is_in_use(
    in_use: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    end_stream(Stream(near), in_use)
    assert is_at_its_end(far)
    assert (near.fileno() == -1) is not in_use


def test_a_server_that_waits_for_room_to_send_learns_of_the_end() -> None:
    """Its client has read all that came, so closing alone would reset nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    with near, far:
        far.settimeout(0.5)
        with pytest.raises(TimeoutError):
            far.sendall(bytes(1 << 26))
        shut_down(near)
        while near.recv(1 << 20):
            pass
        near.close()
        far.settimeout(20)
        with pytest.raises(ConnectionError):
            far.sendall(bytes(1 << 26))
