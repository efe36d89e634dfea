"""Run an application for one request, until it answers, runs late, or its client disconnects."""

import asyncio
import copy
import json
import logging
from collections.abc import Awaitable
from typing import Any, Final

from stream_deadline._asgi_inbox import Inbox
from stream_deadline._asgi_log import RequestLog
from stream_deadline._asgi_outbox import COMPLETE, ENDING, Outbox, headers_of
from stream_deadline._asgi_types import App, ASGIScope, Receive, Send
from stream_deadline._call_group import CallGroup, current_group
from stream_deadline._deadline import NEVER, Deadline, deadline, no_deadline, remaining
from stream_deadline._error_response import ErrorResponse, error_response_for

GRACE: Final = 0.05
"""Seconds after the deadline in which the work may still answer by itself; it knows more."""
CLEAN_UP: Final = 5.0
"""Seconds that cancelled work may take to end, before it is left alone with a line in the log."""
LAST_WORDS: Final = 1.0
"""Seconds that a client which does not read may delay the error that is meant for it."""

_CORS = (b"access-control-", b"vary")
# In the ASGI scope of a request that another DeadlineMiddleware is handling already.
_NESTED = "stream_deadline.nested"


class Exchange:
    """One request, between the server and the application.

    Attributes:
        log: its log.
    """

    def __init__(
        self,
        app: App,
        connection: ASGIScope,
        receive: Receive,
        send: Send,
        max_body_bytes: int | None,
    ) -> None:
        """Prepare a request.

        Args:
            app: the application.
            connection: the ASGI scope.
            receive: of the server.
            send: of the server.
            max_body_bytes: the longest body that is accepted; None: no bound.
        """
        self._app, self._connection = app, connection
        self._receive, self._send = receive, send
        self.log = RequestLog(connection.get("method", ""), connection.get("path", ""))
        self._is_inner = _NESTED in connection  # the outer one holds back what must be held back
        self._inbox = Inbox(receive, max_body_bytes)
        self._due = Deadline.after(None)
        self._outbox = Outbox(
            send,
            hold_end=not self._is_inner,
            on_last=lambda: self._due.lift(),
            on_held=self._wake,
        )
        self._calls = CallGroup()
        self._refusal: ErrorResponse | None = None
        # Done when there is something to decide.
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, limit: float | None) -> None:
        """Let the application answer within `limit` seconds.

        Args:
            limit: seconds; None: only an ambient deadline bounds it.
        """
        limit = min(NEVER if limit is None else limit, remaining())
        outer = current_group()
        self._connection[_NESTED] = True
        # A deadline and a call group of its own, since the end of this answer lifts only these.
        own = deadline(None if limit == NEVER else limit)
        with no_deadline(), own as self._due, self._calls:
            work = asyncio.ensure_future(
                self._app(self._connection, self._inbox.receive, self._outbox.send)
            )
        if outer is not None:
            outer.add(self._end_calls)
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait(
                (work, self._news), timeout=self._timeout(), return_when=asyncio.FIRST_COMPLETED
            )
            if self._outbox.stage is ENDING:
                await self._release_end(work)
            if self._outbox.stage is COMPLETE:
                await asyncio.wait((work,))
            if work.done():
                await self._finish(work)
            elif self._inbox.disconnected:
                self.log.line(logging.INFO, "the client disconnected; the work was cancelled")
            elif self._refusal is not None:
                await self._answer(self._refusal)
            else:
                await self._end_late(work)
        finally:
            listening.cancel()
            if outer is not None:
                outer.discard(self._end_calls)
            if not self._is_inner:
                self._connection.pop(_NESTED, None)
            await self._end(work)

    async def refuse(self, response: ErrorResponse) -> None:
        """Answer in place of the application, of which nothing has been sent."""
        self.log.response(response)
        start = self._outbox.start
        given = [] if start is None else headers_of(start)
        body = as_json(response)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if response.retry_after is not None:
            headers.append((b"retry-after", response.retry_after.encode()))
        if response.status == 413:
            headers.append((b"connection", b"close"))  # the rest of the body is not read

        async def answer(connection: ASGIScope, receive: Receive, send: Send) -> None:
            status = response.status
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        answering: App = answer
        if any(name.startswith(b"access-control-") for name, _ in given):
            headers += [each for each in given if each[0].startswith(_CORS)]
        elif (cors := copy.copy(_find_cors(self._app))) is not None:
            cors.app, answering = answer, cors
        await send_own(answering(self._connection, self._receive, self._send), self.log)

    async def _listen(self) -> None:
        self._refusal = await self._inbox.fill()
        if self._inbox.disconnected and not self._outbox.is_complete:
            self._outbox.drop()
            # First of all: when many clients leave at once, each clean-up delays the next one.
            self._calls.end()
        self._wake()

    def _wake(self) -> None:
        if not self._news.done():
            self._news.set_result(None)

    def _end_calls(self) -> None:
        if not self._outbox.is_complete:
            self._calls.end()

    async def _release_end(self, work: asyncio.Future[None]) -> None:
        """Send the end of a stream, unless the application fails right after it.

        When a generator fails under Starlette's `BaseHTTPMiddleware`, the stream is ended properly
        and the error raised only then. The client would take half an answer for a whole one.
        """
        await asyncio.wait((work,), timeout=GRACE)
        has_failed = work.done() and (work.cancelled() or work.exception() is not None)
        if has_failed and not self._inbox.disconnected:
            return
        try:
            await self._outbox.release()
        except Exception as error:
            await asyncio.wait((work,))  # it has done its part, whatever the server says of it
            if not isinstance(error, OSError):
                raise
            self.log.line(
                logging.INFO, "the client disconnected before the end of its answer was sent"
            )

    async def _finish(self, work: asyncio.Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        response = None if error is None else error_response_for(error)
        if self._outbox.stage is COMPLETE:
            work.result()
        elif self._inbox.disconnected:
            how = "" if error is None else f" with {type(error).__name__}"
            self.log.line(logging.INFO, f"the client disconnected; the work ended{how}")
        elif response is not None:
            await self._answer(response)
        else:
            start = self._outbox.start
            if start is not None and error is None and not work.cancelled():
                await self._send(start)  # the server reports that the application sent no end
            work.result()

    async def _end_late(self, work: asyncio.Future[None]) -> None:
        work.cancel()
        limit = max(0.0, self._due.limit)
        text = f"The work was not done within the {limit:g} s that the client allowed."
        await self._answer(ErrorResponse(504, "deadline_exceeded", text))

    def _timeout(self) -> float | None:
        left = self._due.remaining()
        return None if left == NEVER else max(0.0, left) + GRACE

    async def _answer(self, response: ErrorResponse) -> None:
        """Tell the client about the error, in whatever way is left."""
        has_begun = self._outbox.has_begun
        self._outbox.drop()  # what the work sends from now on comes too late
        if not has_begun:
            await self.refuse(response)
        elif self._outbox.takes_an_event:
            self.log.response(response)
            event = b"event: error\ndata: " + as_json(response) + b"\n\n"
            last = {"type": "http.response.body", "body": event, "more_body": False}
            await send_own(self._send(last), self.log)
        else:
            # Returning without an end makes the server close the connection, which no client takes
            # for a whole answer.
            self.log.response(response, " The answer had begun and is cut.")

    async def _end(self, work: asyncio.Future[None]) -> None:
        """Cancel the work if it still runs, and wait for its end."""
        if work.done():
            return
        self._end_calls()  # at once, and also those in threads, which no cancellation reaches
        self._outbox.drop()
        await cancel(work, self.log)


async def send_own(sending: Awaitable[None], log: RequestLog) -> None:
    """Send a message of our own, without waiting for ever."""
    try:
        await asyncio.wait_for(sending, LAST_WORDS)
    except TimeoutError:
        log.line(logging.WARNING, "the client does not read, so the error could not be sent")
    except OSError:
        log.line(logging.INFO, "the client disconnected before the error was sent")


async def cancel(work: asyncio.Future[None], log: RequestLog) -> None:
    """Cancel work, and wait for its end."""
    work.cancel()
    await asyncio.wait((work,), timeout=CLEAN_UP)
    if not work.done():
        text = f"the work did not end within {CLEAN_UP:g} s of its cancellation, and runs on"
        log.line(logging.ERROR, text)
    elif (
        not work.cancelled()
        and (error := work.exception()) is not None
        and error_response_for(error) is None
    ):
        log.line(logging.INFO, f"the cancelled work ended with {type(error).__name__}")


def _find_cors(app: Any) -> Any:
    """Return Starlette's `CORSMiddleware`, or a subclass, inside an application; None: not seen."""
    for _ in range(100):  # an object may claim to wrap itself
        for base in type(app).__mro__:
            is_cors = base.__name__ == "CORSMiddleware"
            if is_cors and base.__module__ == "starlette.middleware.cors":
                return app
        app = getattr(app, "middleware_stack", None) or getattr(app, "app", None)
    return None


def as_json(response: ErrorResponse) -> bytes:
    """Return the body of a response."""
    return json.dumps({"error": {"type": response.kind, "message": response.text}}).encode()
