"""Ports of this machine."""

import socket

import httpx2

from stream_lab.http.client import direct_client


def free_port() -> int:
    """A port that nobody listens on now. Somebody may take it before it is used; for programs that cannot be given a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody does."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether a web server answers there, whatever it says."""
    try:
        with direct_client(timeout=2) as client:
            client.get(url)
    except httpx2.TransportError:
        return False
    return True
