"""Shut a connection down, which is how a server learns that its client has gone."""

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

# Closing a socket with this option resets the connection, whether or not input is unread.
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)

Interrupt = Callable[[bool], None]
"""Ends the connection under a stream. The argument tells whether someone may be reading from it."""


def end_stream(network_stream: Any, in_use: bool) -> None:
    """Shut a stream of httpcore down, and close it unless it is in use.

    A shutdown tells the server that the client sends nothing more. A server that still has output
    to send goes on until it has sent it, and one that the client has not kept up with waits for
    room to send. So closing the socket resets the connection, and then the server cannot send. A
    reader of the stream closes it when the shutdown wakes it; closing it earlier could give the
    socket's number to another connection under that reader.

    Args:
        network_stream: the stream, as httpcore's responses show it.
        in_use: whether a task or thread may be reading from it.
    """
    shut_down(network_stream.get_extra_info("socket"))
    if not in_use:
        network_stream.close()


def shut_down(connection: Any) -> None:
    """Wake every reader of a socket, and let the server see the end.

    Closing the socket resets the connection from then on. Unlike closing, a shutdown needs no event
    loop, works from any thread, and wakes a thread that is blocked on the socket.

    Args:
        connection: a `socket.socket`, or what an event loop shows in its place; None: the
            transport shows no socket, and nothing happens.
    """
    if connection is None:
        return
    with contextlib.suppress(OSError, ValueError):  # it is closed already
        if isinstance(connection, socket.socket):
            # An SSLSocket's own method would take its TLS state away under the thread that reads.
            _shut_down(connection)
        else:
            with same_socket(connection) as same:
                _shut_down(same)


def same_socket(connection: Any) -> socket.socket:
    """Return another object for a socket, which can be closed by itself.

    An SSLSocket has no `dup` of its own.

    Raises:
        OSError: it is closed.
    """
    return socket.socket(fileno=os.dup(connection.fileno()))


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # another kind of socket may not know the option
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
    socket.socket.shutdown(connection, socket.SHUT_RDWR)
