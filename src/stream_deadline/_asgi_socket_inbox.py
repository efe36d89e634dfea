"""Read a WebSocket's messages ahead of the application, so that a disconnect is seen."""

import asyncio
from typing import Final

from stream_deadline._asgi_types import ASGIMessage, Receive

MAX_UNREAD: Final = 16
"""How many messages may wait for the application before no more are read."""
MAX_UNREAD_BYTES: Final = 65536
"""How many bytes may wait, likewise; so one message more than that may be in memory."""


class SocketInbox:
    """The messages of the server, in their order.

    Attributes:
        disconnected: whether the client has disconnected.
    """

    def __init__(self, receive: Receive) -> None:
        """Start with nothing read.

        Args:
            receive: of the server.
        """
        self.disconnected = False
        self._receive = receive
        self._unread: asyncio.Queue[ASGIMessage | Exception] = asyncio.Queue()
        self._bytes = 0
        self._taken = asyncio.Event()
        self._last: ASGIMessage | Exception | None = None

    async def receive(self) -> ASGIMessage:
        """Return the next message; the last one, a disconnect or an error, again and again."""
        if self._last is not None and self._unread.empty():
            await asyncio.sleep(0)  # a task that asks in a loop could not be cancelled otherwise
            message = self._last
        else:
            message = await self._unread.get()
        if isinstance(message, Exception):
            raise message
        self._bytes -= _size(message)
        self._taken.set()
        return message

    async def fill(self) -> None:
        """Read until the client disconnects, or the server fails."""
        while self._last is None:
            try:
                message = await self._receive()
                self._bytes += _size(message)
                if message["type"] == "websocket.disconnect":
                    self._last, self.disconnected = message, True
                self._unread.put_nowait(message)
            except Exception as error:  # the application gets it, if it reads
                self._last = error
                self._unread.put_nowait(error)
            while self._unread.qsize() >= MAX_UNREAD or self._bytes >= MAX_UNREAD_BYTES:
                self._taken.clear()
                await self._taken.wait()


def _size(message: ASGIMessage) -> int:
    return len(message.get("bytes") or b"") + len(message.get("text") or "")
