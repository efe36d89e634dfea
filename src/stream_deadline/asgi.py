"""A web application's side: the caller's deadline becomes that of the work, and a caller that leaves ends it.

    app = FastAPI()
    app.add_middleware(DeadlineMiddleware, default=60)

For any ASGI application; it imports no framework.
"""

import asyncio
import copy
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from enum import Enum
from typing import Any, Final, Literal
from urllib.parse import quote

from stream_deadline.budget import NEVER, Deadline, deadline, no_deadline, remaining, seconds
from stream_deadline.failure import Failure, failure_of, one_line
from stream_deadline.headers import HEADER
from stream_deadline.scope import Scope, current

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
MOST_UNREAD: Final = 16
"""How many messages that say nothing may wait for the application, before the server is not asked for more."""
LONGEST_PAUSE: Final = 1.0
"""Seconds, at most, between two questions to a server that answers at once and says nothing."""

_MILLISECONDS = re.compile(r"-?[0-9]{1,8}")
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_CORS = (b"access-control-", b"vary")
_NESTED = "stream_deadline.nested"  # in the ASGI scope of a request that another DeadlineMiddleware has in its hands already
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

    Work whose caller leaves before its answer is complete is cancelled at once, whether the application listens or not, and the
    connections of its `ChatVllm` and `bounded` calls are closed before anything else, those of blocking calls in threads included.
    As soon as the application has said the last of its answer nothing ends its work any more, neither a caller who leaves nor the
    deadline: background tasks, and calls that were begun before and go on, have only their own bounds. What a request begins and
    leaves to itself earlier than that stands under `no_deadline`:

        with no_deadline():
            asyncio.create_task(save_a_summary(question))

    Put it outside of middleware that hides who has left (Starlette's `BaseHTTPMiddleware`) or that changes bodies (GZip), and
    inside of what adds headers for pages of other origins, so that they can read its own answers, too. As `add_middleware` puts
    each one outside of those before it, that means: last, but for `CORSMiddleware`.

        app.add_middleware(DeadlineMiddleware, default=60)
        app.add_middleware(
            CORSMiddleware,
            allow_origins=["https://ui.example"],
            allow_headers=["X-Timeout-Ms"],
            expose_headers=["Retry-After"],
        )

    Where Starlette's `CORSMiddleware` stands directly inside, or under other middleware that shows what it wraps as `.app`, its own
    answers get their headers from it all the same; and the headers for other origins that an application has given its answer
    already are kept when that answer is replaced. What cannot be seen from here, as CORS headers of a mounted application or of a
    handler that has not said anything yet, is not guessed.

    Requests only: a WebSocket passes untouched.

    Args:
        app: the application.
        default: seconds for a request that does not say; None: no bound.
        max_timeout: the most seconds that a request is given, whatever its caller asks for, and also if it does not say. "default":
            as long as `default`, so that a caller can shorten its time and not extend it; None: whatever a caller asks for.
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
        max_timeout: float | Literal["default"] | None = "default",
        largest_body: int | None = None,
        header: str = HEADER,
    ) -> None:
        if largest_body is not None and largest_body <= 0:
            raise ValueError(f"largest_body must be a positive number of bytes, or None; got {largest_body}")
        self.app = app
        self._largest_body = largest_body
        self._default = seconds("default", default)
        self._max_timeout = self._default if max_timeout == "default" else seconds("max_timeout", max_timeout)
        self._header = header
        self._name = header.lower().encode("latin-1")

    async def __call__(self, connection: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if connection["type"] != "http":
            await self.app(connection, receive, send)
            return
        exchange = _Exchange(self.app, connection, receive, send, self._largest_body)
        try:
            limit = self._limit(connection["headers"])
        except ValueError as error:
            await exchange.refuse(Failure(400, "bad_deadline", str(error)))
            return
        if limit is not None and limit <= 0:
            text = f"The deadline had passed before the request came ({self._header})."
            await exchange.refuse(Failure(504, "deadline_exceeded", text))
            return
        await exchange.run(limit)

    def _limit(self, headers: Iterable[tuple[bytes, bytes]]) -> float | None:
        """What this request may take, in seconds; None: no bound. Zero or less: it is too late already.

        Raises:
            ValueError: the header cannot be understood; the text says what is asked for.
        """
        said = [value.decode("latin-1").strip(" \t") for name, value in headers if name.lower() == self._name]
        limit = self._default
        if said:
            if len(said) > 1 or not _MILLISECONDS.fullmatch(said[0]):
                got = one_line(", ".join(said), 40)
                raise ValueError(f"{self._header} must be one whole number of milliseconds, of at most 8 digits; got '{got}'.")
            limit = int(said[0]) / 1000
        return min((each for each in (limit, self._max_timeout) if each is not None), default=None)


class _Inbox:
    """What the server says, read ahead of the application, so that a caller who leaves is seen.

    Attributes:
        left: whether the caller has left.
    """

    def __init__(self, receive: Receive, largest_body: int | None) -> None:
        self.left = False
        self._receive = receive
        self._largest_body = largest_body
        self._unread: asyncio.Queue[Message | BaseException] = asyncio.Queue()
        self._taken = asyncio.Event()

    async def receive(self) -> Message:
        """What the application calls."""
        if self.left and self._unread.empty():
            await asyncio.sleep(0)  # who asks again and again could not be cancelled otherwise
            return {"type": "http.disconnect"}
        message = await self._unread.get()
        self._taken.set()
        if isinstance(message, BaseException):
            raise message
        return message

    async def fill(self) -> Failure | None:
        """Read until the caller has left, or, with what to tell it, until it has sent too much.

        Servers, and middleware that plays one, are not all well: a message may come at once each time and say nothing, for ever.
        So nothing that the application does not take is piled up, and who says nothing is asked ever less often.
        """
        size, whole, idle = 0, False, 0
        while True:
            try:
                message = await self._receive()
                kind, part = message["type"], len(message.get("body") or b"")
                more = kind == "http.request" and bool(message.get("more_body"))
            except BaseException as error:  # the application hears of it, if it asks
                self._unread.put_nowait(error)
                if not isinstance(error, Exception):
                    raise
                part, more = 0, False
            else:
                size += 0 if whole else part  # what is played back a second time is no larger body
                if self._largest_body is not None and size > self._largest_body:
                    return Failure(413, "body_too_large", f"The request's body may have at most {self._largest_body:,} bytes.")
                self._unread.put_nowait(message)
                if kind == "http.disconnect":
                    self.left = True
                    return None
                if kind == "http.request" and not more and not whole:
                    whole = True
                    continue  # what comes next is that the caller leaves
            # A body is not read faster than the application takes it.
            await self._fewer_than(1 if part or more else MOST_UNREAD)
            idle = 0 if part and not whole else idle + 1
            if idle:
                await asyncio.sleep(_pause(idle))

    async def _fewer_than(self, number: int) -> None:
        while self._unread.qsize() >= number:
            self._taken.clear()
            await self._taken.wait()


class _Stage(Enum):
    """How far the application's answer has come."""

    SILENT = "nothing of it has been sent; its status may be there, and is held back"
    STREAMING = "its status and a chunk have been sent"
    ENDING = "it is complete; the end of its stream is held back"
    COMPLETE = "it is complete, and nothing is held back"
    DROPPED = "it is not listened to any more"


class _Shape(Enum):
    """How a reader knows where an answer ends, and whether it can be given a last event."""

    FIXED = "its length is known"
    OPEN = "it is over when the server says so"
    EVENTS = "the same, and it is a stream of Server-Sent Events that may be written to"


# Python 3.11 takes a tenth of a microsecond to find a member of an Enum, and each chunk asks for several.
SILENT, STREAMING, ENDING, COMPLETE, DROPPED = _Stage
FIXED, OPEN, EVENTS = _Shape


class _Exchange:
    """One request, between the server and the application."""

    def __init__(
        self, app: App, connection: MutableMapping[str, Any], receive: Receive, send: Send, largest_body: int | None
    ) -> None:
        self._app, self._connection, self._receive, self._send = app, connection, receive, send
        # Noted now, since an application may change what the connection says of it.
        self._name = f"{_escaped(connection.get('method', ''))} {_escaped(connection.get('path', ''))}"
        self._began = time.monotonic()
        self._is_inner = _NESTED in connection  # then the outer one holds back what has to be
        self._inbox = _Inbox(receive, largest_body)
        self._stage = SILENT
        self._shape = FIXED
        self._start: Message | None = None  # the status and the headers, as long as they are held back
        self._held: list[Message] = []  # the end of a stream, likewise
        self._tail = b""  # the last bytes of a stream of events, four at least
        self._due = Deadline.after(None)
        self._calls = Scope()
        self._too_much: Failure | None = None
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # there is something to decide

    async def run(self, limit: float | None) -> None:
        """Have the application answer within `limit` seconds. None: only the deadline that is ambient already bounds it."""
        limit = min(NEVER if limit is None else limit, remaining())
        around = current()
        self._connection[_NESTED] = True
        # A deadline and a group of calls of its own, since the end of this answer lifts its own only.
        with no_deadline(), deadline(None if limit == NEVER else limit) as self._due, self._calls:
            work = asyncio.ensure_future(self._app(self._connection, self._inbox.receive, self.send))
        if around is not None:
            around.add(self._end_calls)
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait((work, self._turn), timeout=self._timeout(), return_when=asyncio.FIRST_COMPLETED)
            if self._stage is ENDING:
                await self._let_end(work)
            if self._stage is COMPLETE:
                await asyncio.wait((work,))
            if work.done():
                await self._finished(work)
            elif self._inbox.left:
                self._note(logging.INFO, "the caller left; the work was cancelled")
            elif self._too_much is not None:
                await self._answer(self._too_much)
            else:
                await self._late(work)
        finally:
            listening.cancel()
            if around is not None:
                around.discard(self._end_calls)
            if not self._is_inner:
                self._connection.pop(_NESTED, None)
            await self._end(work)

    async def send(self, message: Message) -> None:
        """What the application calls; each chunk of a stream passes here."""
        kind, has_more = message["type"], message.get("more_body", False)
        if self._stage is STREAMING and has_more:
            self._look_at(message)
            await self._send(message)
        elif self._stage is DROPPED:
            await asyncio.sleep(0)  # who never waits could not be cancelled otherwise
        elif self._stage is ENDING:
            if kind not in _BODIES:  # a second end is not heard
                self._held.append(message)
        elif self._stage is COMPLETE:
            await self._send(message)  # the server knows best what may come after the end
        elif kind == "http.response.start" and self._stage is SILENT:
            self._start, self._shape = message, _shape(message)
        elif kind in _BODIES and not has_more:
            await self._complete(message)
        else:
            if kind in _BODIES:
                self._stage = STREAMING
                self._look_at(message)
            await self._pass_on(message)

    def _look_at(self, chunk: Message) -> None:
        """Note how a stream of events ends so far."""
        if self._shape is EVENTS and (body := chunk.get("body")):
            self._tail = body if len(body) > 3 else self._tail[-3:] + body

    async def _complete(self, message: Message) -> None:
        """Take the last message of the answer. Nothing that is still done for it is ended from here any more."""
        self._due.lift()
        is_stream = self._stage is STREAMING or (self._shape is not FIXED and not message.get("body"))
        if is_stream and not self._is_inner:
            self._stage, self._held = ENDING, [message]
            self._wake()
        else:
            self._stage = COMPLETE
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        """Send it, and before it the status and the headers, now that there is something to send after them."""
        if self._start is not None:
            start, self._start = self._start, None
            if self._stage is SILENT:
                self._stage = STREAMING
            await self._send(start)
        await self._send(message)

    async def refuse(self, failure: Failure) -> None:
        """Answer in place of the application, of which nothing has been sent."""
        self._tell(failure)
        given = [] if self._start is None else _headers(self._start)
        body = _json(failure)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if failure.retry_after is not None:
            headers.append((b"retry-after", failure.retry_after.encode()))
        if failure.status == 413:
            headers.append((b"connection", b"close"))  # the rest of the body is not worth reading

        async def answer(connection: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": failure.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        answering: App = answer
        if any(name.startswith(b"access-control-") for name, _ in given):
            headers += [each for each in given if each[0].startswith(_CORS)]
        elif (cors := copy.copy(_cors_inside(self._app))) is not None:
            cors.app, answering = answer, cors
        await self._say(answering(self._connection, self._receive, self._send))

    async def _listen(self) -> None:
        self._too_much = await self._inbox.fill()
        if self._inbox.left and not self._is_complete:
            self._stage = DROPPED
            self._calls.end()  # before anybody is woken: when many leave at once, each clean-up keeps the next one waiting
        self._wake()

    @property
    def _is_complete(self) -> bool:
        """Whether the application has said the last of its answer."""
        return self._stage in (ENDING, COMPLETE)

    def _wake(self) -> None:
        if not self._turn.done():
            self._turn.set_result(None)

    def _end_calls(self) -> None:
        if not self._is_complete:
            self._calls.end()

    async def _let_end(self, work: asyncio.Future[None]) -> None:
        """Pass the end of a stream on, unless the application fails right after it.

        Starlette's `BaseHTTPMiddleware` ends a stream properly when the generator under it fails, and raises the error only then; the
        caller would take the half for the whole.
        """
        await asyncio.wait((work,), timeout=GRACE)
        if work.done() and (work.cancelled() or work.exception() is not None) and not self._inbox.left:
            return
        self._stage = COMPLETE
        try:
            for message in self._held:
                await self._pass_on(message)
        except Exception as error:
            await asyncio.wait((work,))  # which has done its part, whatever the server says of it
            if not isinstance(error, OSError):
                raise
            self._note(logging.INFO, "the caller left before the end of its answer was sent")

    async def _finished(self, work: asyncio.Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        failure = None if error is None else failure_of(error)
        if self._stage is COMPLETE:
            work.result()
        elif self._inbox.left:
            how = "" if error is None else f" with {type(error).__name__}"
            self._note(logging.INFO, f"the caller left; the work ended{how}")
        elif failure is not None:
            await self._answer(failure)
        else:
            if self._start is not None and error is None and not work.cancelled():
                await self._send(self._start)  # an application that ends without an end; the server will say so
            work.result()

    async def _late(self, work: asyncio.Future[None]) -> None:
        work.cancel()
        text = f"The work was not done within the {max(0.0, self._due.limit):g} s that the caller gave it."
        await self._answer(Failure(504, "deadline_exceeded", text))

    def _timeout(self) -> float | None:
        left = self._due.remaining()
        return None if left == NEVER else max(0.0, left) + GRACE

    async def _answer(self, failure: Failure) -> None:
        """Tell the caller what has failed, in whatever way is left."""
        has_begun = self._stage is not SILENT and self._start is None
        self._stage = DROPPED  # whatever the work says from now on comes too late
        if not has_begun:
            await self.refuse(failure)
        elif self._shape is EVENTS and (not self._tail or self._tail.endswith(_EVENT_ENDS)):
            self._tell(failure)
            event = b"event: error\ndata: " + _json(failure) + b"\n\n"
            await self._say(self._send({"type": "http.response.body", "body": event, "more_body": False}))
        else:
            # Returning without an end makes the server close the connection, which no client takes for a whole answer.
            self._tell(failure, " The answer had begun and is cut.")

    async def _say(self, words: Awaitable[None]) -> None:
        """Send something of our own."""
        try:
            await asyncio.wait_for(words, LAST_WORDS)
        except TimeoutError:
            self._note(logging.WARNING, "the caller does not read; the error could not be told")
        except OSError:
            self._note(logging.INFO, "the caller left before it was told")

    async def _end(self, work: asyncio.Future[None]) -> None:
        """Cancel the work if it still runs, and wait for its end."""
        if work.done():
            return
        self._end_calls()  # at once, and also what runs in threads, which no cancellation reaches
        self._stage = DROPPED
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
        _log.log(level, "%s after %.2f s: %s", self._name, time.monotonic() - self._began, one_line(text, 1000))


_BODIES = frozenset(("http.response.body", "http.response.zerocopysend", "http.response.pathsend"))
"""What can be the last message of an answer; it is if it does not say that there is more."""


def _headers(start: Message) -> list[tuple[bytes, bytes]]:
    return [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]


def _shape(start: Message) -> _Shape:
    headers = dict(_headers(start))
    if b"content-length" in headers or start["status"] in (204, 304):
        return FIXED
    is_events = headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")
    return EVENTS if is_events and b"content-encoding" not in headers else OPEN


def _cors_inside(app: Any) -> Any:
    """Starlette's `CORSMiddleware`, or one made from it, where it can be seen from here; None: it cannot."""
    for _ in range(100):  # some object might say that it wraps itself
        if any(
            base.__name__ == "CORSMiddleware" and base.__module__ == "starlette.middleware.cors" for base in type(app).__mro__
        ):
            return app
        app = getattr(app, "middleware_stack", None) or getattr(app, "app", None)
    return None


def _pause(idle: int) -> float:
    """How long to wait before a server is asked again that has said nothing so many times in a row."""
    return 0.0 if idle <= 8 else min(0.001 * 2.0 ** min(idle - 8, 30), LONGEST_PAUSE)


def _escaped(said: object) -> str:
    """What a caller said, as it would stand in a URL: in one word, of bounded length."""
    most = 200
    return quote(str(said)[:most], "/:@!$&'()*+,;=~", errors="backslashreplace")[:most]


def _json(failure: Failure) -> bytes:
    return json.dumps({"error": {"type": failure.kind, "message": failure.text}}).encode()
