"""Read what the server says ahead of the application, so that a disconnect is seen."""

import asyncio
from typing import Final

from stream_deadline._asgi_types import ASGIMessage, Receive
from stream_deadline._error_response import ErrorResponse

MAX_UNREAD: Final = 16
"""How many messages without content may wait for the application before no more are read."""
LONGEST_PAUSE: Final = 1.0
"""Seconds, at most, between two reads from a server that answers at once with no content."""


class Inbox:
    """The messages of the server.

    Attributes:
        disconnected: whether the client has disconnected.
    """

    def __init__(self, receive: Receive, max_body_bytes: int | None) -> None:
        """Start with nothing read.

        Args:
            receive: of the server.
            max_body_bytes: the longest body that is accepted; None: no bound.
        """
        self.disconnected = False
        self._receive = receive
        self._max_body_bytes = max_body_bytes
        self._unread: asyncio.Queue[ASGIMessage | BaseException] = asyncio.Queue()
        self._taken = asyncio.Event()

    async def receive(self) -> ASGIMessage:
        """Return the next message; the application calls this."""
        if self.disconnected and self._unread.empty():
            await asyncio.sleep(0)  # a caller that asks in a loop could not be cancelled otherwise
            return {"type": "http.disconnect"}
        message = await self._unread.get()
        self._taken.set()
        if isinstance(message, BaseException):
            raise message
        return message

    async def fill(self) -> ErrorResponse | None:
        """Read until the client disconnects, or sends too much.

        Some servers, and middleware that plays one, answer at once each time and say nothing, for
        ever. So what the application does not take is not piled up, and a server that says nothing
        is read from ever less often.

        Returns:
            The response to a body that is too large; None: the client has disconnected.
        """
        size, is_whole, idle = 0, False, 0
        while True:
            try:
                message = await self._receive()
                kind, part = message["type"], len(message.get("body") or b"")
                has_more = kind == "http.request" and bool(message.get("more_body"))
            except BaseException as error:  # the application gets it, if it reads
                self._unread.put_nowait(error)
                if not isinstance(error, Exception):
                    raise
                part, has_more = 0, False
            else:
                size += 0 if is_whole else part  # a replayed body is not a larger one
                if self._max_body_bytes is not None and size > self._max_body_bytes:
                    text = f"The request's body may have at most {self._max_body_bytes:,} bytes."
                    return ErrorResponse(413, "body_too_large", text)
                self._unread.put_nowait(message)
                if kind == "http.disconnect":
                    self.disconnected = True
                    return None
                if kind == "http.request" and not has_more and not is_whole:
                    is_whole = True
                    continue  # the next message is the disconnect
            # A body is not read faster than the application takes it.
            await self._wait_for_fewer_than(1 if part or has_more else MAX_UNREAD)
            idle = 0 if part and not is_whole else idle + 1
            if idle:
                await asyncio.sleep(_pause(idle))

    async def _wait_for_fewer_than(self, number: int) -> None:
        while self._unread.qsize() >= number:
            self._taken.clear()
            await self._taken.wait()


def _pause(idle: int) -> float:
    """Return how long to wait before the next read, after `idle` reads without content."""
    return 0.0 if idle <= 8 else min(0.001 * 2.0 ** min(idle - 8, 30), LONGEST_PAUSE)
