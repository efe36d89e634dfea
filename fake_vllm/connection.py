"""Below ASGI: the TCP connection, for the two things that a well-behaved HTTP server cannot do.

ASGI has no word for a reset, nor for a head that comes in bits. uvicorn's `send` is a method of its request cycle, which holds the
transport. uvicorn does not promise that, so everything that relies on it is in this file.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
_NO_LINGER = struct.pack("ii", 1, 0)


def reset(send: Send) -> None:
    """Close with RST instead of FIN."""
    transport = _cycle(send).transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def start_slowly(send: Send, message: dict[str, Any], every: float) -> None:
    """Send a response's status line and headers as uvicorn words them, one byte each `every` seconds."""
    cycle, caught = _cycle(send), _Caught()
    transport, cycle.transport = cycle.transport, caught
    try:
        await send(message)
    finally:
        cycle.transport = transport
    for byte in caught.data:
        if transport.is_closing():
            return
        transport.write(bytes([byte]))
        await asyncio.sleep(every)


class _Caught:
    """Stands in for a transport and keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def _cycle(send: Any) -> Any:
    return send.__self__
