"""The connection a call is using: how it is found, and how it is cut.

Clients of httpx and httpx2 tell through their event hooks when a request leaves and when a response begins
(https://www.python-httpx.org/advanced/event-hooks/); network.py tells which connection it goes over. Where a client's transport is
not one of httpx's own, httpcore's `trace` extension tells at least of new connections
(https://www.encode.io/httpcore/extensions/). All of that does nothing to calls that are not ours.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

from stream_deadline import network
from stream_deadline.budget import NEVER, Budget
from stream_deadline.text_chunks import Pattern

# Seconds by which a socket's own time-outs come later than the budget's end, so that the budget speaks first.
AFTERWARDS = 0.02
# Seconds within which the news of a connection that was reset before the request comes back, or was closed in order, over a short line.
AT_ONCE, SOON = 0.02, 1.0
# The most seconds that a socket's time-out is set to; far larger numbers overflow there.
LONGEST = 1e6

# Ends the connection under a stream; is told whether somebody may be using it at this moment.
Interrupt = Callable[[bool], None]

_line: "ContextVar[Line | None]" = ContextVar("stream_deadline_line", default=None)


class Line:
    """What is known of the connection of one call.

    Attributes:
        answered: whether a good response to the last request has begun. From then on another attempt would be another generation.
        token: stands for this call where the call itself must not be kept.
        raw: whether the call takes chunks as they were sent (raw_chunks.py).
        pattern: what chunks of text are copied from (text_chunks.py); None: there has been none yet.
        said: to be called when the model says something that does not become an item.
        finished: to be called when the reason for the end comes in a chunk that does not become an item.
    """

    def __init__(self, budget: Budget, *, blocking: bool, raw: bool = False) -> None:
        """`blocking`: the call blocks its thread, so that sockets need time-outs of their own and somebody who cuts them."""
        self.raw = raw
        self.pattern: Pattern | None = None
        self.answered = False
        self.token = object()
        self.said: Callable[[], None] = _nothing
        self.finished: Callable[[], None] = _nothing
        self._budget = budget
        self._blocking = blocking
        self._stream: Any = None
        self._response: Any = None
        self._is_cut = False
        self._pause: threading.Event | None = None

    def context(self) -> Context:
        """A copy of the current context variables in which requests belong to this line."""
        context = copy_context()
        context.run(_line.set, self)
        return context

    def cut(self, in_use: bool = True) -> None:
        """End the connection, now or as soon as there is one, and a pause. May be called from any thread.

        `in_use`: whether somebody may be using it at this moment. If nobody is, it is closed as well.
        """
        self._is_cut = True
        if self._pause is not None:
            self._pause.set()
        stream = self._stream
        if stream is None or (self._response is not None and self._response.is_closed):
            return  # a response that was closed has given its connection back to the pool, where it may serve somebody else
        if isinstance(stream, network.Tracked):
            stream.end_for(self.token, lambda: end(stream, in_use))
        else:
            end(stream, in_use)

    def pause(self, length: float) -> None:
        """Sleep, in a call that blocks its thread, until `length` seconds have passed or the call is cut."""
        self._pause = threading.Event()
        if not self._is_cut:
            self._pause.wait(length)
        self._pause = None

    def was_stale(self, *, reset: bool = False) -> bool:
        """Whether the last request went over a connection that had been open before, and not a byte came back.

        The server may have given it up just before, and then has not seen the request. The news of that takes as long as the line is;
        what ends later was at work. An orderly end is given more time than a `reset`, by which servers also break down at work.
        """
        stream = self._stream
        if not getattr(stream, "reused", False) or stream.heard:
            return False
        soon: float = max(AT_ONCE, 2 * stream.opened_in) if reset or stream.secure else max(SOON, 20 * stream.opened_in)
        return bool(time.monotonic() - stream.sent_at < soon)

    def sending(self, request: Any, *, trace: bool = False) -> None:
        """A request is about to leave. `trace`: nothing else tells of its connection."""
        self.answered = False  # what was answered before was something else: a token, a redirect
        self._stream = self._response = None
        if trace:
            # httpcore calls it from inside, with an `await` where it is asynchronous itself.
            request.extensions["trace"] = (_Trace if self._blocking else _AsyncTrace)(self, request.extensions.get("trace"))
        if self._blocking:
            now, given = self._budget.clock(), request.extensions.get("timeout", {})
            # A part bounds what comes before the answer; the reads go on after it.
            request.extensions["timeout"] = {
                phase: _sooner((self._budget.total_at if phase == "read" else self._budget.due) - now, given.get(phase))
                for phase in ("connect", "read", "write", "pool")
            }

    def receiving(self, response: Any) -> None:
        """A response has begun: its headers are here."""
        self.answered = response.is_success
        self._response = response
        if "stream_id" in response.extensions:
            self._stream = None  # HTTP/2, where the connection serves others, too
        elif self._stream is None:
            self.connected(response.extensions.get("network_stream"))

    def connected(self, stream: Any) -> None:
        """The request uses this stream of httpcore; None: it does not show it."""
        if stream is not None:
            self._stream = stream
            if self._is_cut:
                self.cut()


def _nothing() -> None:
    """There is no stream yet that could be told."""


def _sooner(left: float, given: float | None) -> float | None:
    """The time-out of a socket: what was given for it, or what is left if that is less."""
    given = None if given is None else float(given)
    left = max(0.0, left) + AFTERWARDS
    soonest = left if given is None else min(left, given)
    return None if soonest == NEVER else min(soonest, LONGEST)


def current() -> Line | None:
    """The call that the running code works for; None: one that is not ours."""
    return _line.get()


# TLS takes the socket over from TCP, so that only the newer one can be shut down.
_CONNECTED = {"connection.connect_tcp.complete", "connection.start_tls.complete", "proxy.start_tls.complete"}


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


def listen(client: Any) -> bool:
    """Have a client of httpx or httpx2, synchronous or not, tell the line of a call what it does. Once per client is enough.

    Returns whether it is such a client. There is nobody to ask otherwise.

    Raises:
        ValueError: it speaks HTTP/2, where calls share a connection and httpcore cannot end one of them.
    """
    hooks = getattr(client, "event_hooks", None)
    if hooks is None:
        return False
    if any(getattr(pool, "_http2", False) for pool in network.pools(client)):
        raise ValueError(
            "This HTTP client speaks HTTP/2 (http2=True). There the calls share one connection and none of them can be ended "
            "without the others; make the client with http2=False."
        )
    tracked = network.track(client, current)
    if hasattr(client, "aclose"):
        ours: list[tuple[str, Any]] = [("request", _asending if tracked else _asending_traced), ("response", _areceiving)]
    else:
        ours = [("request", _sending if tracked else _sending_traced), ("response", _receiving)]
    for moment, hook in ours:
        if hook not in hooks[moment]:
            hooks[moment].append(hook)
    return True


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
    if connection is None:
        return  # a transport of another kind, that shows none
    with contextlib.suppress(OSError, ValueError):  # closed already
        if isinstance(connection, socket.socket):
            # Not the method of an SSLSocket, which would take its TLS state away from under the thread that is reading.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        else:
            with socket.socket(fileno=os.dup(connection.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)


def _sending(request: Any) -> None:
    if (line := _line.get()) is not None:
        line.sending(request, trace=False)


def _sending_traced(request: Any) -> None:
    if (line := _line.get()) is not None:
        line.sending(request, trace=True)


def _receiving(response: Any) -> None:
    if (line := _line.get()) is not None:
        line.receiving(response)


async def _asending(request: Any) -> None:
    _sending(request)


async def _asending_traced(request: Any) -> None:
    _sending_traced(request)


async def _areceiving(response: Any) -> None:
    _receiving(response)
