"""The server's side of a request or a WebSocket, from a list of messages."""

import asyncio
from typing import Any

from stream_deadline.asgi import ASGIMessage
from tests.stream_deadline.sources import elapsed


class Server:
    """It says these messages, and then nothing; `at`: the times when it was asked."""

    def __init__(self, *messages: Any) -> None:
        self.at: list[float] = []
        self._messages = list(messages)

    async def receive(self) -> ASGIMessage:
        self.at.append(round(elapsed(), 6))
        if not self._messages:
            await asyncio.Event().wait()
        message: Any = self._messages.pop(0)
        if isinstance(message, BaseException):
            raise message
        return message  # type: ignore[no-any-return]
