"""A client that stops reading for a while, as one on a bad line does."""

import socket
import time
from urllib.parse import urlsplit

from stream_lab.http.capture import CUT, WHOLE

SMALL = 8192  # bytes that the system keeps for the client; it doubles this
PATIENCE = 30.0  # seconds


def read_late(url: str, *, silent: float) -> str:
    """Request a large answer, read nothing for a while, then read the rest.

    Args:
        url: the address; its answer must come in chunks and exceed the buffers on the path.
        silent: seconds without reading.

    Returns:
        "whole" or "cut".
    """
    parts = urlsplit(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        connection.settimeout(PATIENCE)
        connection.connect((parts.hostname or "", parts.port or 80))
        connection.sendall(
            f"GET {parts.path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n".encode()
        )
        time.sleep(silent)
        last = b""
        try:
            while data := connection.recv(1 << 20):
                last = (last + data)[-5:]
        except OSError:
            return CUT
    return WHOLE if last == b"0\r\n\r\n" else CUT
