"""Ports of this machine."""

import socket

import httpx2

from stream_lab.http.client import direct_client


def free_port() -> int:
    """Return a port that is free now, for programs that cannot be given a socket.

    Another program may take it before it is used.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def listens(port: int) -> bool:
    """Return whether a program listens on this port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Return whether a web server answers there, with any status."""
    try:
        with direct_client(timeout=2) as client:
            client.get(url)
    except httpx2.TransportError:
        return False
    return True
