"""The far end of a connection."""

import socket


def is_at_its_end(far: socket.socket) -> bool:
    """Whether the other side has ended the connection; `far` does not block."""
    try:
        return far.recv(1) == b""
    except BlockingIOError:
        return False
