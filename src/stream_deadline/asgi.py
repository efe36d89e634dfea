"""A web application's side: the caller's deadline becomes that of the work, and a caller that leaves ends it.

    app = FastAPI()
    app.add_middleware(DeadlineMiddleware, default=60)

For any ASGI application; it imports no framework.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from stream_deadline.budget import NEVER, Deadline, deadline, seconds
from stream_deadline.errors import StreamDeadlineExceeded
from stream_deadline.headers import HEADER
from stream_deadline.scope import Scope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

GRACE: Final = 0.05
"""Seconds after the deadline in which the work may still say itself what happened; it knows more."""
CLEAN_UP: Final = 5.0
"""Seconds that cancelled work may take to end, before the request is given up with a line in the log."""
LAST_WORDS: Final = 1.0
"""Seconds that a caller who does not read may hold up the error that is meant for it."""

_MILLISECONDS = re.compile(r"-?\d{1,8}")
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_log = logging.getLogger(__name__)


class DeadlineMiddleware:
    """Ends a request when its caller leaves, and when its time is up.

    A caller says in `X-Timeout-Ms` how many milliseconds it will wait from now on; the time that has already passed is deducted, as
    gRPC does it, so that the clocks of two machines need not agree. That is an ambient `deadline` for everything the application
    does, `ChatVllm` included. When it passes the work is cancelled, and the caller gets status 504 with a JSON body; a stream of
    Server-Sent Events that has begun gets a last event, `error`, with the same JSON; and any other answer that has begun is cut
    short visibly, so that nobody takes a half for the whole. The same is said of a `StreamDeadlineExceeded` that the application
    lets out.

    Work whose caller has left is cancelled at once, whether the application listens or not, and the connections of its `ChatVllm`
    and `bounded` calls are closed before anything else, those of blocking calls in threads included. What it does after its answer
    is complete, as background tasks, is left alone.

    Put it outside of middleware that hides who has left (Starlette's `BaseHTTPMiddleware`) or that changes bodies (GZip); with
    `add_middleware` that means: add it last. Requests only: a WebSocket passes untouched.

    Args:
        app: the application.
        default: seconds for a request that does not say; None: no bound.
        longest: the most seconds that a caller is given, whatever it asks for, and who does not say; None: no bound.
        header: the name of the header.

    Raises:
        ValueError: a number of seconds is not positive.
    """

    def __init__(self, app: App, *, default: float | None = None, longest: float | None = None, header: str = HEADER) -> None:
        self.app = app
        self._default = seconds("default", default)
        self._longest = seconds("longest", longest)
        self._header = header
        self._name = header.lower().encode("latin-1")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            limit = self._limit(scope["headers"])
        except ValueError as error:
            await exchange.refuse(400, "bad_deadline", str(error))
            return
        if limit is not None and limit <= 0:
            await exchange.refuse(504, "deadline_exceeded", f"The deadline had passed before the request came ({self._header}).")
            return
        await exchange.run(self.app, limit)

    def _limit(self, headers: Iterable[tuple[bytes, bytes]]) -> float | None:
        """What this request may take, in seconds; None: no bound. Zero or less: it is too late already.

        Raises:
            ValueError: the header cannot be understood; the text says what is asked for.
        """
        said = [value.decode("latin-1").strip() for name, value in headers if name.lower() == self._name]
        limit = self._default
        if said:
            if len(said) > 1 or not _MILLISECONDS.fullmatch(said[0]):
                got = ", ".join(said)[:40]
                raise ValueError(f"{self._header} must be one whole number of milliseconds, of at most 8 digits; got '{got}'.")
            limit = int(said[0]) / 1000
        return min((each for each in (limit, self._longest) if each is not None), default=None)


class _Exchange:
    """One request, between the server and the application."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._began = time.monotonic()
        self._came: asyncio.Queue[Message] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._left = False
        self._started = self._streams = self._complete = self._deaf = False
        self._events = False
        self._tail = b""
        self._due = Deadline.after(None)
        self._calls = Scope()
        self._ending: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def run(self, app: App, limit: float | None) -> None:
        with deadline(limit) as self._due, self._calls:
            work = asyncio.ensure_future(app(self._scope, self.receive, self.send))
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait((work, watch, self._ending), timeout=self._timeout(), return_when=asyncio.FIRST_COMPLETED)
            if self._ending.done():
                await self._let_end(work)
            if self._complete:
                await asyncio.wait((work,))
            if work.done():
                await self._finished(work)
            elif watch.done():
                self._note(logging.INFO, "the caller left; the work was cancelled")
            else:
                await self._late(work)
        finally:
            watch.cancel()
            await self._end(work)

    async def receive(self) -> Message:
        """What the application calls."""
        if self._left and self._came.empty():
            return {"type": "http.disconnect"}
        message = await self._came.get()
        self._taken.set()
        return message

    async def send(self, message: Message) -> None:
        """What the application calls; each chunk of a stream passes here."""
        if self._deaf:
            return
        if message["type"] == "http.response.body":
            if self._events and (body := message.get("body")):
                self._tail = (self._tail + body[-4:])[-4:]
            if message.get("more_body", False):
                self._streams = True
            elif self._streams:
                self._ending.set_result(message)
                return
            else:
                self._complete = True
        elif message["type"] == "http.response.start":
            self._started = True
            headers = {bytes(name).lower(): bytes(value) for name, value in message.get("headers", ())}
            plain = b"content-encoding" not in headers and b"content-length" not in headers
            self._events = plain and headers.get(b"content-type", b"").startswith(b"text/event-stream")
        await self._send(message)

    async def refuse(self, status: int, kind: str, text: str) -> None:
        """Answer in place of the application."""
        self._note(logging.WARNING, text)
        body = _json(kind, text)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _watch(self) -> None:
        """Read what comes, one message ahead of the application, so that a caller who leaves is seen; ends when it has."""
        while True:
            message = await self._receive()
            self._taken.clear()
            if message["type"] == "http.disconnect":
                self._left = True
                if not self._complete:
                    self._calls.end()  # before anybody is woken: when many leave at once, each clean-up keeps the next one waiting
            self._came.put_nowait(message)
            if self._left:
                return
            if message.get("more_body"):  # a body is not read faster than the application takes it
                await self._taken.wait()

    async def _let_end(self, work: asyncio.Future[None]) -> None:
        """Pass the end of a stream on, unless the application fails right after it.

        Starlette's `BaseHTTPMiddleware` ends a stream properly when the generator under it fails, and raises the error only then; the
        caller would take the half for the whole.
        """
        await asyncio.wait((work,), timeout=GRACE)
        if not work.done() or (not work.cancelled() and work.exception() is None):
            self._complete = True
            await self._send(self._ending.result())

    async def _finished(self, work: asyncio.Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        reason = None if error is None else _deadline_in(error)
        if not self._complete and reason is not None:
            await self._answer(str(reason))
        elif self._left and error is not None:
            self._note(logging.INFO, f"the caller left; the work ended with {type(error).__name__}")
        else:
            work.result()

    async def _late(self, work: asyncio.Future[None]) -> None:
        work.cancel()
        await self._answer(f"The work was not done within the {self._due.limit:g} s that the caller gave it.")

    def _timeout(self) -> float | None:
        left = self._due.remaining()
        return None if left == NEVER else max(0.0, left) + GRACE

    async def _answer(self, text: str) -> None:
        """Tell the caller that its time is up, in whatever way is left."""
        self._deaf = True  # whatever the work says from now on comes too late
        if not self._started:
            await self.refuse(504, "deadline_exceeded", text)
        elif self._events and (not self._tail or self._tail.endswith(_EVENT_ENDS)):
            self._note(logging.WARNING, text)
            event = b"event: error\ndata: " + _json("deadline_exceeded", text) + b"\n\n"
            last = self._send({"type": "http.response.body", "body": event, "more_body": False})
            try:
                await asyncio.wait_for(last, LAST_WORDS)
            except TimeoutError:
                self._note(logging.WARNING, "the caller does not read; the error could not be told")
        else:
            # Returning without an end makes the server close the connection, which no client takes for a whole answer.
            self._note(logging.WARNING, f"{text} The answer had begun and is cut.")

    async def _end(self, work: asyncio.Future[None]) -> None:
        """Cancel the work if it still runs, and wait for its end."""
        if work.done():
            return
        self._deaf = True
        self._calls.end()  # at once, and also what runs in threads, which no cancellation reaches
        work.cancel()
        await asyncio.wait((work,), timeout=CLEAN_UP)
        if not work.done():
            self._note(logging.ERROR, f"the work did not end within {CLEAN_UP:g} s after it was cancelled, and was left alone")
        elif not work.cancelled() and (error := work.exception()) is not None and _deadline_in(error) is None:
            self._note(logging.INFO, f"the cancelled work ended with {type(error).__name__}")

    def _note(self, level: int, text: str) -> None:
        method, path, after = self._scope.get("method", ""), self._scope.get("path", ""), time.monotonic() - self._began
        _log.log(level, "%s %s after %.2f s: %s", method, path, after, text)


def _deadline_in(error: BaseException) -> StreamDeadlineExceeded | None:
    """The deadline's error, also out of the groups that task groups make."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := _deadline_in(each))), None)
    return error if isinstance(error, StreamDeadlineExceeded) else None


def _json(kind: str, text: str) -> bytes:
    return json.dumps({"error": {"type": kind, "message": text}}, ensure_ascii=False).encode()
