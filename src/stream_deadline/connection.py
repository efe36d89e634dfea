"""The connection a call is using: how it is found, and how it is cut.

Clients of httpx and httpx2 tell through their event hooks when a request leaves and when a response begins; httpcore's `trace`
extension tells when a connection was made. Both are public, do nothing to calls that are not ours, and work for clients that a
user made. (https://www.python-httpx.org/advanced/event-hooks/, https://www.encode.io/httpcore/extensions/)
"""

import contextlib
import os
import socket
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

from stream_deadline.budget import NEVER, Budget

# Seconds by which a socket's own time-outs come later than the budget's end, so that the budget speaks first.
AFTERWARDS = 0.02

# Ends the connection under a stream; is told whether somebody may be using it at this moment.
Interrupt = Callable[[bool], None]

_line: "ContextVar[Line | None]" = ContextVar("stream_deadline_line", default=None)


class Line:
    """What is known of the connection of one call.

    Attributes:
        answered: whether a good response has begun. From then on another attempt would be another generation.
    """

    def __init__(self, budget: Budget, *, blocking: bool) -> None:
        """`blocking`: the call blocks its thread, so that sockets need time-outs of their own and somebody who cuts them."""
        self.answered = False
        self._budget = budget
        self._blocking = blocking
        self._stream: Any = None
        self._response: Any = None
        self._is_cut = False
        self._sent_at = -NEVER

    def context(self) -> Context:
        """A copy of the current context variables in which requests belong to this line."""
        context = copy_context()
        context.run(_line.set, self)
        return context

    def cut(self, in_use: bool = True) -> None:
        """End the connection, now or as soon as there is one. May be called from any thread.

        `in_use`: whether somebody may be using it at this moment. If nobody is, it is closed as well.
        """
        self._is_cut = True
        # A response that was closed has given its connection back to the pool, where it may serve somebody else.
        if self._stream is not None and not (self._response is not None and self._response.is_closed):
            end(self._stream, in_use)

    def since_sending(self) -> float:
        """Seconds since the last request was about to leave; infinite if there was none."""
        return self._budget.clock() - self._sent_at

    def sending(self, request: Any) -> None:
        """A request is about to leave."""
        self._sent_at = self._budget.clock()
        self._stream = self._response = None
        # httpcore calls it from inside, with an `await` where it is asynchronous itself.
        request.extensions["trace"] = (_Trace if self._blocking else _AsyncTrace)(self, request.extensions.get("trace"))
        left = self._budget.remaining()
        if self._blocking and left < NEVER:
            bounds = request.extensions.get("timeout", {})
            request.extensions["timeout"] = {
                phase: min(left + AFTERWARDS, NEVER if bounds.get(phase) is None else bounds[phase])
                for phase in ("connect", "read", "write", "pool")
            }

    def receiving(self, response: Any) -> None:
        """A response has begun: its headers are here."""
        self.answered = self.answered or response.is_success
        self._response = response
        if "stream_id" in response.extensions:
            self._stream = None  # HTTP/2, where the connection serves others, too; a cancelled stream is reset by httpcore
        else:
            self.connected(response.extensions.get("network_stream"))

    def connected(self, stream: Any) -> None:
        """The request uses this stream of httpcore; None: it does not show it."""
        if stream is not None:
            self._stream = stream
            if self._is_cut:
                self.cut()


# TLS takes the socket over from TCP, so that only the newer one can be shut down.
_CONNECTED = {"connection.connect_tcp.complete", "connection.start_tls.complete"}


class _Trace:
    """httpcore's `trace` extension: called with the name of a step and its details."""

    def __init__(self, line: Line, others: Callable[[str, dict[str, Any]], Any] | None) -> None:
        """`others`: what the request was traced by before."""
        self._line = line
        self._others = others

    def __call__(self, event: str, details: dict[str, Any]) -> None:
        if event in _CONNECTED:
            self._line.connected(details["return_value"])
        if self._others is not None:
            self._others(event, details)


class _AsyncTrace(_Trace):
    async def __call__(self, event: str, details: dict[str, Any]) -> None:  # type: ignore[override]
        if event in _CONNECTED:
            self._line.connected(details["return_value"])
        if self._others is not None:
            await self._others(event, details)


def listen(client: Any) -> None:
    """Have a client of httpx or httpx2, synchronous or not, tell the line of a call what it does. Once per client is enough."""
    hooks = getattr(client, "event_hooks", None)
    if hooks is None:
        return  # not a client of httpx; there is nobody to ask
    if hasattr(client, "aclose"):
        ours: list[tuple[str, Any]] = [("request", _asending), ("response", _areceiving)]
    else:
        ours = [("request", _sending), ("response", _receiving)]
    for moment, hook in ours:
        if hook not in hooks[moment]:
            hooks[moment].append(hook)


def interrupter(stream: Any) -> Interrupt:
    """What ends the connection under a stream of the OpenAI SDK, or a response of httpx; does nothing for other streams."""
    response = getattr(stream, "response", stream)
    network_stream = (getattr(response, "extensions", None) or {}).get("network_stream")

    def interrupt(in_use: bool) -> None:
        if network_stream is not None and not response.is_closed:
            end(network_stream, in_use)

    return interrupt


def end(network_stream: Any, in_use: bool) -> None:
    """Shut a stream of httpcore down, and close it if nobody is using it.

    Shutting down tells the server that nothing more will come, but one that still has unsent output goes on until it is rid of it.
    Closing a socket with unread input resets the connection, and then there is nobody left to send to. Whoever is using the
    stream closes it when he is woken; for him the number of a closed socket could by then belong to another.
    """
    shut_down(network_stream.get_extra_info("socket"))
    if not in_use:
        network_stream.close()


def shut_down(connection: Any) -> None:
    """End a connection so that whoever waits for it wakes up, and the server sees its client leave.

    Unlike closing it, this needs no event loop, may be done from any thread, and wakes a thread that is blocked on the socket.

    `connection`: a `socket.socket`, or what an event loop shows in its place.
    """
    with contextlib.suppress(OSError, ValueError):  # closed already
        if isinstance(connection, socket.socket):
            # Not the method of an SSLSocket, which would take its TLS state away from under the thread that is reading.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        else:
            with socket.socket(fileno=os.dup(connection.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)


def _sending(request: Any) -> None:
    if (line := _line.get()) is not None:
        line.sending(request)


def _receiving(response: Any) -> None:
    if (line := _line.get()) is not None:
        line.receiving(response)


async def _asending(request: Any) -> None:
    _sending(request)


async def _areceiving(response: Any) -> None:
    _receiving(response)
