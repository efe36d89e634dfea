"""A client of an ASGI application that may disconnect, for checkers of exercises."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

TEXT = "the whole answer"


class Client:
    """One GET request, whose client disconnects when `gone` is set.

    Attributes:
        scope: the request, as ASGI describes it.
        gone: set it to disconnect.
        sent: the messages of the application.
    """

    def __init__(self, headers: Mapping[str, str] | None = None, path: str = "/answer") -> None:
        self.gone = asyncio.Event()
        self.sent: list[Any] = []
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), text.encode()) for name, text in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self._asked = False

    @property
    def status(self) -> int:
        """Return the status of the answer; 0: none has begun."""
        return next((each["status"] for each in self.sent if "status" in each), 0)

    async def receive(self) -> dict[str, Any]:
        """Return the request, and after that the disconnect, once it has happened."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Keep a message of the application."""
        self.sent.append(message)


class Work:
    """The work of a handler; calling it sleeps and returns a text.

    Attributes:
        started: how often it has been called.
        over: set when a call has ended, whether by itself or by a cancellation.
        whole: whether a call has ended by itself.
    """

    def __init__(self, seconds: float) -> None:
        self.started = 0
        self.over = asyncio.Event()
        self.whole = False
        self._seconds = seconds

    async def __call__(self) -> str:
        self.started += 1
        try:
            await asyncio.sleep(self._seconds)
            self.whole = True
        finally:
            self.over.set()
        return TEXT


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep the application's warnings out of the notebook, which shows them as errors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


async def ends_within(event: asyncio.Event, seconds: float) -> bool:
    """Return whether an event is set within some seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
