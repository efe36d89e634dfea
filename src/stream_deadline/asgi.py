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
from stream_deadline.failure import Failure, failure_of
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
    lets out, and of what goes wrong with the model's server (`openai.APIError`), with a status that tells the caller what it can do:
    502 if that server is down, broken or does not accept this one, 503 if it is busy, its own status if the request was bad. So
    that a stream can still have such a status, the status it begins with is sent together with its first chunk.

    Work whose caller has left is cancelled at once, whether the application listens or not, and the connections of its `ChatVllm`
    and `bounded` calls are closed before anything else, those of blocking calls in threads included. What it does after its answer
    is complete, as background tasks, is left alone.

    Put it outside of middleware that hides who has left (Starlette's `BaseHTTPMiddleware`) or that changes bodies (GZip); with
    `add_middleware` that means: add it last. Requests only: a WebSocket passes untouched.

    Args:
        app: the application.
        default: seconds for a request that does not say; None: no bound.
        longest: the most seconds that a caller is given, whatever it asks for, and who does not say; None: no bound.
        largest_body: the most bytes that a caller may send; who sends more gets status 413. None: no bound.
        header: the name of the header.

    Raises:
        ValueError: a number of seconds or bytes is not positive.
    """

    def __init__(
        self,
        app: App,
        *,
        default: float | None = None,
        longest: float | None = None,
        largest_body: int | None = None,
        header: str = HEADER,
    ) -> None:
        if largest_body is not None and largest_body <= 0:
            raise ValueError(f"largest_body must be a positive number of bytes, or None; got {largest_body}")
        self.app = app
        self._largest_body = largest_body
        self._default = seconds("default", default)
        self._longest = seconds("longest", longest)
        self._header = header
        self._name = header.lower().encode("latin-1")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._largest_body)
        try:
            limit = self._limit(scope["headers"])
        except ValueError as error:
            await exchange.refuse(Failure(400, "bad_deadline", str(error)))
            return
        if limit is not None and limit <= 0:
            text = f"The deadline had passed before the request came ({self._header})."
            await exchange.refuse(Failure(504, "deadline_exceeded", text))
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

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, largest_body: int | None) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._largest_body = largest_body
        self._began = time.monotonic()
        self._came: asyncio.Queue[Message] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._left = False
        self._started = self._streams = self._complete = self._deaf = False
        self._start: Message | None = None
        self._events = self._open_ended = False
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
                if (failure := watch.result()) is not None:
                    await self._answer(failure)
                else:
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
            body = message.get("body", b"")
            if self._events and body:
                self._tail = (self._tail + body[-4:])[-4:]
            if message.get("more_body", False):
                self._streams = True
            elif self._streams or (self._open_ended and not body):
                if not self._ending.done():
                    self._ending.set_result(message)
                return
            else:
                self._complete = True
        elif message["type"] == "http.response.start":
            headers = {bytes(name).lower(): bytes(value) for name, value in message.get("headers", ())}
            self._open_ended = b"content-length" not in headers and message["status"] not in (204, 304)
            plain = b"content-encoding" not in headers and b"content-length" not in headers
            self._events = plain and headers.get(b"content-type", b"").startswith(b"text/event-stream")
            self._start = message
            return
        if self._start is not None:
            await self._begin()
        await self._send(message)

    async def _begin(self) -> None:
        """Send the status and the headers of the application, now that there is something to send after them."""
        if self._start is not None:
            start, self._start, self._started = self._start, None, True
            await self._send(start)

    async def refuse(self, failure: Failure) -> None:
        """Answer in place of the application."""
        self._tell(failure)
        body = _json(failure)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if failure.retry_after is not None:
            headers.append((b"retry-after", failure.retry_after.encode("latin-1", "ignore")))
        if failure.status == 413:
            headers.append((b"connection", b"close"))  # the rest of the body is not worth reading
        await self._send({"type": "http.response.start", "status": failure.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _watch(self) -> Failure | None:
        """Read what comes, one message ahead of the application, so that a caller who leaves is seen.

        Ends when it has left, or, with what to tell it, when it has sent too much.
        """
        size = 0
        while True:
            message = await self._receive()
            size += len(message.get("body", b""))
            if self._largest_body is not None and size > self._largest_body:
                return Failure(413, "body_too_large", f"The request's body may have at most {self._largest_body:,} bytes.")
            self._taken.clear()
            if message["type"] == "http.disconnect":
                self._left = True
                if not self._complete:
                    self._calls.end()  # before anybody is woken: when many leave at once, each clean-up keeps the next one waiting
            self._came.put_nowait(message)
            if self._left:
                return None
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
            await self._begin()
            await self._send(self._ending.result())

    async def _finished(self, work: asyncio.Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        failure = None if error is None else failure_of(error)
        if not self._complete and not self._left and failure is not None:
            await self._answer(failure)
        elif self._left and error is not None:
            self._note(logging.INFO, f"the caller left; the work ended with {type(error).__name__}")
        else:
            if self._start is not None and error is None:
                await self._begin()  # an application that ends without an end; the server will say so
            work.result()

    async def _late(self, work: asyncio.Future[None]) -> None:
        work.cancel()
        text = f"The work was not done within the {self._due.limit:g} s that the caller gave it."
        await self._answer(Failure(504, "deadline_exceeded", text))

    def _timeout(self) -> float | None:
        left = self._due.remaining()
        return None if left == NEVER else max(0.0, left) + GRACE

    async def _answer(self, failure: Failure) -> None:
        """Tell the caller what has failed, in whatever way is left."""
        self._deaf = True  # whatever the work says from now on comes too late
        if not self._started:
            await self.refuse(failure)
        elif self._events and (not self._tail or self._tail.endswith(_EVENT_ENDS)):
            self._tell(failure)
            event = b"event: error\ndata: " + _json(failure) + b"\n\n"
            last = self._send({"type": "http.response.body", "body": event, "more_body": False})
            try:
                await asyncio.wait_for(last, LAST_WORDS)
            except TimeoutError:
                self._note(logging.WARNING, "the caller does not read; the error could not be told")
        else:
            # Returning without an end makes the server close the connection, which no client takes for a whole answer.
            self._tell(failure, " The answer had begun and is cut.")

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
        elif not work.cancelled() and (error := work.exception()) is not None and failure_of(error) is None:
            self._note(logging.INFO, f"the cancelled work ended with {type(error).__name__}")

    def _tell(self, failure: Failure, more: str = "") -> None:
        cause = "" if failure.cause is None else f" ({failure.cause})"
        self._note(logging.WARNING, f"{failure.text}{cause}{more}")

    def _note(self, level: int, text: str) -> None:
        method, path, after = self._scope.get("method", ""), self._scope.get("path", ""), time.monotonic() - self._began
        _log.log(level, "%s %s after %.2f s: %s", method, path, after, text)


def _json(failure: Failure) -> bytes:
    return json.dumps({"error": {"type": failure.kind, "message": failure.text}}, ensure_ascii=False).encode()
