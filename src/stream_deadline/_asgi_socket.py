"""Run an application for one WebSocket, within a budget."""

import asyncio
import logging
from typing import Literal

from stream_deadline._asgi_exchange import GRACE, as_json, cancel, send_own
from stream_deadline._asgi_log import RequestLog
from stream_deadline._asgi_socket_inbox import SocketInbox
from stream_deadline._asgi_types import App, ASGIMessage, ASGIScope, Receive, Send
from stream_deadline._call_group import CallGroup, current_group
from stream_deadline._deadline import NEVER, Deadline, ambient, holding, now
from stream_deadline._error_response import ErrorResponse, error_response_for, one_line

# https://www.iana.org/assignments/websocket/websocket.xhtml
_POLICY_VIOLATION = 1008
_INTERNAL_ERROR = 1011
_TRY_AGAIN_LATER = 1013
_LONGEST_REASON = 123  # bytes; RFC 6455, 5.5

_Stage = Literal["handshake", "open", "closed", "dropped"]
# "closed" is what the application has closed, and "dropped" what was closed in its place.


class Socket:
    """One WebSocket, between the server and the application.

    Attributes:
        log: its log.
    """

    def __init__(
        self,
        app: App,
        connection: ASGIScope,
        receive: Receive,
        send: Send,
        budget_of: Literal["message", "connection"],
    ) -> None:
        """Prepare a WebSocket.

        Args:
            app: the application.
            connection: the ASGI scope.
            receive: of the server.
            send: of the server.
            budget_of: for what there is one budget.
        """
        self.log = RequestLog("WEBSOCKET", connection.get("path", ""))
        self._app, self._connection = app, connection
        self._send = send
        self._budget_of = budget_of
        self._inbox = SocketInbox(receive)
        self._stage: _Stage = "handshake"
        self._limit: float | None = None
        self._outer = ambient()
        self._due = Deadline(NEVER, NEVER)
        self._calls = CallGroup()

    async def run(self, limit: float | None) -> None:
        """Let the application serve the client until one of them closes.

        Args:
            limit: seconds of a budget; None: only an ambient deadline bounds it.
        """
        self._limit = limit
        self._begin_budget()
        outer = current_group()
        with holding(self._due), self._calls:
            work = asyncio.ensure_future(self._app(self._connection, self._take_in, self._pass_on))
        if outer is not None:
            outer.add(self._end_calls)
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait((work,), timeout=self._timeout())
            if not work.done() and self._is_served:
                await self._end_late(work)
            else:
                await asyncio.wait((work,))
                await self._finish(work)
        finally:
            listening.cancel()
            if outer is not None:
                outer.discard(self._end_calls)
            if not work.done():
                self._end_calls()  # at once, and also those in threads
                self._stage = "dropped"
                await cancel(work, self.log)

    async def refuse(self, response: ErrorResponse) -> None:
        """End the handshake with an HTTP status, if the server can send one."""
        self.log.response(response)
        await send_own(self._refuse(response), self.log)

    @property
    def _is_served(self) -> bool:
        """Whether neither side has closed."""
        return self._stage in ("handshake", "open") and not self._inbox.disconnected

    def _begin_budget(self) -> None:
        limit = self._limit
        own = Deadline(NEVER if limit is None else now() + limit, NEVER if limit is None else limit)
        soonest = min((own, *self._outer), key=lambda each: each.at)
        self._due.at, self._due.limit = soonest.at, soonest.limit

    def _timeout(self) -> float | None:
        if self._budget_of == "message" or self._due.at == NEVER:
            return None
        return max(0.0, self._due.remaining()) + GRACE

    async def _take_in(self) -> ASGIMessage:
        """Return the next message; the application calls this."""
        message = await self._inbox.receive()
        is_new = message["type"] == "websocket.receive" and self._is_served
        if is_new and self._budget_of == "message":
            self._begin_budget()
        return message

    async def _pass_on(self, message: ASGIMessage) -> None:
        """Take a message of the application."""
        kind = message["type"]
        is_refusal = kind == "websocket.http.response.body" and not message.get("more_body")
        if self._stage == "dropped":
            await asyncio.sleep(0)  # an application that never waits could not be cancelled
            return
        if kind == "websocket.accept":
            self._stage = "open"
        elif kind == "websocket.close" or is_refusal:
            self._stage = "closed"
            self._due.lift()
        await self._send(message)

    async def _listen(self) -> None:
        await self._inbox.fill()
        if self._inbox.disconnected:
            self._end_calls()

    def _end_calls(self) -> None:
        if self._stage != "closed":  # what follows the application's close has its own bounds
            self._calls.end()

    async def _end_late(self, work: asyncio.Future[None]) -> None:
        self._end_calls()
        work.cancel()
        text = f"The connection was not closed within the {self._due.limit:g} s that it may take."
        await self._close(ErrorResponse(504, "deadline_exceeded", text))

    async def _finish(self, work: asyncio.Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        response = None if error is None else error_response_for(error)
        if response is None or self._stage == "closed":
            work.result()
        elif self._is_served:
            await self._close(response)
        else:
            kind = type(error).__name__
            self.log.line(logging.INFO, f"the client disconnected; the work ended with {kind}")

    async def _close(self, response: ErrorResponse) -> None:
        """Close in place of the application, whose further messages are dropped."""
        was_open, self._stage = self._stage == "open", "dropped"
        if not was_open:
            await self.refuse(response)
            return
        self.log.response(response, " The connection is closed.")
        await send_own(self._send(_closing(response)), self.log)

    async def _refuse(self, response: ErrorResponse) -> None:
        # https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
        if "websocket.http.response" not in (self._connection.get("extensions") or {}):
            await self._send(_closing(response))
            return
        body = as_json(response)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if response.retry_after is not None:
            headers.append((b"retry-after", response.retry_after.encode()))
        kind = "websocket.http.response"
        await self._send({"type": f"{kind}.start", "status": response.status, "headers": headers})
        await self._send({"type": f"{kind}.body", "body": body})


def _closing(response: ErrorResponse) -> ASGIMessage:
    """Return the message that closes a WebSocket for an error."""
    code = _INTERNAL_ERROR
    if response.status < 500:
        code = _POLICY_VIOLATION  # the client's messages were bad, so it should not come again
    elif response.status in (503, 504):
        code = _TRY_AGAIN_LATER
    reason = one_line(f"{response.kind}: {response.text}", _LONGEST_REASON)
    # One character may be several bytes.
    reason = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
    return {"type": "websocket.close", "code": code, "reason": reason}
