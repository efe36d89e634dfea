"""Ports of this machine."""

import socket

import httpx2

from stream_lab.http.client import direct_client


def free_port() -> int:
    """Return a port that is free now, for programs that cannot inherit a socket.

    Another program may take it first.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def listens(port: int) -> bool:
    """Tell whether a program listens on this port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Tell whether a web server answers at this address, with any status."""
    try:
        with direct_client(timeout=2) as client:
            client.get(url)
    except httpx2.TransportError:
        return False
    return True
