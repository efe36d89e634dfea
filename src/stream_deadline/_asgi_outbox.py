"""Pass the application's answer on, and hold back what may still be replaced."""

import asyncio
from collections.abc import Callable
from enum import Enum

from stream_deadline._asgi_types import ASGIMessage, Send

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_BODIES = frozenset(("http.response.body", "http.response.zerocopysend", "http.response.pathsend"))
"""The messages that can be the last of an answer; each is unless it says that there is more."""


class Stage(Enum):
    """How far the application's answer has come."""

    SILENT = "nothing of it has been sent; its status may be there, and is held back"
    STREAMING = "its status and a chunk have been sent"
    ENDING = "it is complete; the end of its stream is held back"
    COMPLETE = "it is complete, and nothing is held back"
    DROPPED = "no more of it is passed on"


class Shape(Enum):
    """How an answer ends, and whether it can have a last event."""

    FIXED = "its length is known"
    OPEN = "it ends when the server says so"
    EVENTS = "it ends when the server says so, and is a stream of Server-Sent Events"


# Python 3.11 takes 0.1 µs to find a member of an Enum, and each chunk needs several.
SILENT, STREAMING, ENDING, COMPLETE, DROPPED = Stage
FIXED, OPEN, EVENTS = Shape

_MOVES: dict[Stage, tuple[Stage, ...]] = {
    SILENT: (STREAMING, ENDING, COMPLETE, DROPPED),
    STREAMING: (ENDING, COMPLETE, DROPPED),
    ENDING: (COMPLETE, DROPPED),
    COMPLETE: (DROPPED,),
    DROPPED: (),
}


class Outbox:
    """The application's answer on its way to the server.

    Attributes:
        stage: how far it has come.
        start: the status and the headers while they are held back; None: they have been sent, or
            there are none yet.
    """

    def __init__(
        self,
        send: Send,
        *,
        hold_end: bool,
        on_last: Callable[[], None],
        on_held: Callable[[], None],
    ) -> None:
        """Start with nothing sent.

        Args:
            send: of the server.
            hold_end: whether the end of a stream is held back, since the application may still
                fail.
            on_last: called when the application has sent its last message.
            on_held: called when the end of a stream is held back.
        """
        self.stage = SILENT
        self.start: ASGIMessage | None = None
        self._send = send
        self._hold_end = hold_end
        self._on_last = on_last
        self._on_held = on_held
        self._shape = FIXED
        self._held: list[ASGIMessage] = []
        self._tail = b""  # the last bytes of a stream of events, four at least

    @property
    def is_complete(self) -> bool:
        """Whether the application has sent its last message."""
        return self.stage in (ENDING, COMPLETE)

    @property
    def has_begun(self) -> bool:
        """Whether the server has the status."""
        return self.stage is not SILENT and self.start is None

    @property
    def takes_an_event(self) -> bool:
        """Whether a Server-Sent Event can follow what has been sent."""
        return self._shape is EVENTS and (not self._tail or self._tail.endswith(_EVENT_ENDS))

    def move(self, stage: Stage) -> None:
        """Go on to another stage.

        Raises:
            RuntimeError: the answer cannot come to that stage from the one it is in.
        """
        if stage not in _MOVES[self.stage]:
            raise RuntimeError(f"An answer that is {self.stage.name} cannot become {stage.name}.")
        self.stage = stage

    def drop(self) -> None:
        """Pass nothing more of the answer on."""
        if self.stage is not DROPPED:
            self.move(DROPPED)

    async def send(self, message: ASGIMessage) -> None:
        """Take a message of the application; each chunk of a stream passes here."""
        kind, has_more = message["type"], message.get("more_body", False)
        if self.stage is STREAMING and has_more:
            self._note_tail(message)
            await self._send(message)
        elif self.stage is DROPPED:
            await asyncio.sleep(
                0
            )  # an application that never waits could not be cancelled otherwise
        elif self.stage is ENDING:
            if kind not in _BODIES:  # a second end is ignored
                self._held.append(message)
        elif self.stage is COMPLETE:
            await self._send(message)  # the server knows what may come after the end
        elif kind == "http.response.start" and self.stage is SILENT:
            self.start, self._shape = message, _shape_of(message)
        elif kind in _BODIES and not has_more:
            await self._complete(message)
        else:
            if kind in _BODIES:
                self.move(STREAMING)
                self._note_tail(message)
            await self._pass_on(message)

    async def release(self) -> None:
        """Send the end that is held back."""
        self.move(COMPLETE)
        for message in self._held:
            await self._pass_on(message)

    async def _complete(self, message: ASGIMessage) -> None:
        self._on_last()
        begins_stream = self._shape is not FIXED and not message.get("body")
        if self._hold_end and (self.stage is STREAMING or begins_stream):
            self.move(ENDING)
            self._held = [message]
            self._on_held()
        else:
            self.move(COMPLETE)
            await self._pass_on(message)

    async def _pass_on(self, message: ASGIMessage) -> None:
        """Send a message, after the status and headers that were held back."""
        if self.start is not None:
            start, self.start = self.start, None
            if self.stage is SILENT:
                self.move(STREAMING)
            await self._send(start)
        await self._send(message)

    def _note_tail(self, chunk: ASGIMessage) -> None:
        if self._shape is EVENTS and (body := chunk.get("body")):
            self._tail = body if len(body) > 3 else self._tail[-3:] + body


def headers_of(start: ASGIMessage) -> list[tuple[bytes, bytes]]:
    """Return the headers of an `http.response.start`, with their names in lower case."""
    return [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]


def _shape_of(start: ASGIMessage) -> Shape:
    headers = dict(headers_of(start))
    if b"content-length" in headers or start["status"] in (204, 304):
        return FIXED
    is_events = headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")
    return EVENTS if is_events and b"content-encoding" not in headers else OPEN
