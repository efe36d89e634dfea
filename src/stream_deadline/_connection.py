"""Track which connection a call uses, so that it can be ended from outside.

The bounded transport (`_transport.py`) reports when a request leaves and when a response begins.
`_network.py` reports over which connection. If a client's transport is not one of httpx's own,
httpcore's `trace` extension reports new connections at least
(https://www.encode.io/httpcore/extensions/).
"""

import contextlib
import threading
import time
from collections.abc import Callable
from contextvars import Context, ContextVar, Token, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet, ref

from stream_deadline import _network
from stream_deadline._budget import Budget
from stream_deadline._deadline import NEVER
from stream_deadline._http2 import reset_frame
from stream_deadline._shutdown import end_stream

if TYPE_CHECKING:
    from stream_deadline._text_chunks import Pattern

# Seconds by which a socket's own time-out comes after the budget's end, so that the budget is
# first.
SOCKET_MARGIN = 0.02
# Seconds within which a connection that was given up before the request shows it: by a reset, and
# by an orderly end. Both are for a short round trip.
RESET_WITHIN, END_WITHIN = 0.02, 1.0
# The most seconds that a socket's time-out is set to; far larger numbers overflow there.
LONGEST_TIMEOUT = 1e6

_tracker: "ContextVar[ConnectionTracker | None]" = ContextVar(
    "stream_deadline_tracker", default=None
)


class ConnectionTracker:
    """What is known about the connection of one call.

    Attributes:
        budget: of the call.
        answered: whether a good response to the last request has begun. From then on, another
            attempt would be another generation.
        token: identifies the call where a reference to the call must not be kept.
        raw: whether the call takes chunks as the server sent them (`_raw_chunks.py`).
        pattern: the chunk that text chunks are copied from (`_text_chunks.py`); None: there is none
            yet.
        generators: of the SDK's asynchronous streams, the outer before the inner. The SDK leaves
            them open if an event is an error, or cannot be read.
        on_progress: called when the model says something that does not become an item.
        on_finish: called when the finish reason comes in a chunk that does not become an item.
    """

    def __init__(self, budget: Budget, *, blocking: bool, raw: bool = False) -> None:
        """Track a call that begins.

        Args:
            budget: of the call.
            blocking: whether the call blocks its thread, so that its sockets need time-outs.
            raw: see the attribute.
        """
        self.raw = raw
        self.pattern: Pattern | None = None
        self.answered = False
        self.token = object()
        self.on_progress: Callable[[], None] = _ignore
        self.on_finish: Callable[[], None] = _ignore
        self.budget = budget
        self._blocking = blocking
        # The connections of this call's requests, each with its response once that has begun. A
        # request that fetches a token comes before the one for the answer. A response that is
        # dropped must not live on here.
        self._open: dict[Any, Callable[[], Any] | None] = {}
        self._latest: Any = None
        self._inner: WeakSet[ConnectionTracker] = WeakSet()
        self._outer: ConnectionTracker | None = None
        self._is_done = False
        # Over HTTP/2 other requests use the connection, so that only a stream of it may be ended.
        self._shared: Any = None
        self._stream_id: int | None = None
        self._is_cut = False
        self._pause: threading.Event | None = None
        self.generators: list[Any] = []
        self._shut_down: list[Any] = []

    def context(self) -> Context:
        """Copy the current context variables, with this tracker for the requests in them."""
        context = copy_context()
        context.run(_tracker.set, self)
        return context

    def cut(self, in_use: bool = True) -> None:
        """End the connection, now or as soon as it opens, and any pause.

        It is safe from any thread.

        Args:
            in_use: whether a task or thread may be using it; if not, it is closed as well.
        """
        self._is_cut = True
        if self._pause is not None:
            self._pause.set()
        for inner in tuple(self._inner):
            inner.cut(in_use)
        for stream, response in tuple(self._open.items()):
            if not _is_closed(response):  # then the pool has the connection, for other calls
                self._end(stream, in_use)

    async def close_rest(self) -> None:
        """Close what an attempt has left open, in the task that made it.

        That is what the SDK leaves, and a connection that was shut down whose closing was cut
        short: httpcore begins it by waiting for a lock, and the end of an event loop cancels that.
        """
        generators, self.generators = self.generators, []
        for generator in generators:
            if not generator.ag_running:  # by a task of a tracer's, say
                await generator.aclose()
        shut_down, self._shut_down = self._shut_down, []
        for stream in shut_down:
            if stream.owner is self.token:
                await stream.aclose()

    def end_dropped(self) -> None:
        """End the connections of responses that were dropped and not closed."""
        for stream, response in tuple(self._open.items()):
            if response is not None and response() is None:
                self._end(stream, in_use=True)

    def _end(self, stream: Any, in_use: bool) -> None:
        if isinstance(stream, _network.AsyncStream):
            self._shut_down.append(stream)
        if isinstance(stream, _network.TrackedStream):
            stream.end_for(self.token, partial(end_stream, stream, in_use))
        else:
            end_stream(stream, in_use)

    @classmethod
    def begin(cls, budget: Budget, *, blocking: bool, raw: bool = False) -> Self:
        """Track a call that begins here, and ends with the call around it."""
        tracker, outer = cls(budget, blocking=blocking, raw=raw), current_tracker()
        if outer is not None:
            budget.outer = outer.budget
            if not outer.is_over:
                tracker._outer = outer
                outer._inner.add(tracker)
        return tracker

    def finish(self) -> None:
        """Note that the call is over, so that background work is not part of it.

        A loop's transport keeps the context in which it was made, and so this tracker: uvloop's for
        as long as its connection is in a pool. The call's answer must not stay with it.
        """
        self._is_done = True
        self.on_progress = self.on_finish = _ignore

    @property
    def is_done(self) -> bool:
        """Whether the call is over, so that requests in its context belong to other work."""
        return self._is_done

    @property
    def is_over(self) -> bool:
        """Whether the call has been cut, or has no time left."""
        budget = self.budget
        return self._is_cut or (budget.clock() >= budget.due and not budget.was_lifted())

    @property
    def is_ended(self) -> bool:
        """Whether the call has been cut, or its whole time is used up.

        A part of it may be forgiven, and does not count.
        """
        budget = self.budget
        return self._is_cut or (budget.clock() >= budget.total_at and not budget.was_lifted())

    @property
    def can_cut(self) -> bool:
        """Whether the connection is known, and has a socket that can be shut down."""
        stream = self._latest
        return stream is not None and stream.get_extra_info("socket") is not None

    def pause(self, length: float) -> None:
        """Block the thread for `length` seconds, or until the call is cut."""
        self._pause = threading.Event()
        if not self._is_cut:
            self._pause.wait(length)
        self._pause = None

    def was_stale(self, *, reset: bool = False) -> bool:
        """Return whether the last request met a pooled connection that the server had given up.

        That is so if the connection had been open before, no byte came back, and the end came
        soon: within a time that grows with the round trip. An end that comes later is that of a
        server at work. Servers also break down at work with a reset, so a reset has less time; and
        over TLS the two look the same.

        Args:
            reset: whether the connection was reset.
        """
        stream = self._latest if self._latest is not None else self._shared
        if not getattr(stream, "reused", False) or stream.heard:
            return False
        if reset or stream.secure:
            within: float = max(RESET_WITHIN, 2 * stream.opened_in)
        else:
            within = max(END_WITHIN, 20 * stream.opened_in)
        return bool(time.monotonic() - stream.sent_at < within)

    def sending(self, request: Any, *, trace: bool = False) -> None:
        """Note that a request is about to leave.

        Args:
            request: of httpx.
            trace: whether nothing but httpcore's `trace` tells of its connection.
        """
        self._latest = self._shared = self._stream_id = None
        self._open = {
            stream: response for stream, response in self._open.items() if not _is_closed(response)
        }
        self._note_sending(host_of(request))
        if trace:
            # httpcore awaits it where httpcore is asynchronous itself.
            kind = _Trace if self._blocking else _AsyncTrace
            request.extensions["trace"] = kind(self, request.extensions.get("trace"))
        if self._blocking:
            budget, given = self.budget, request.extensions.get("timeout", {})
            now = budget.clock()
            # A part bounds what comes before the answer; reads go on after it.
            request.extensions["timeout"] = {
                phase: _shorter(
                    (budget.total_at if phase == "read" else budget.due) - now, given.get(phase)
                )
                for phase in ("connect", "read", "write", "pool")
            }

    def time_left(self, given: float | None) -> float | None:
        """Return a socket's time-out: `given` seconds, or what is left if less."""
        return _shorter(self.budget.due - self.budget.clock(), given)

    def _note_sending(self, host: str | None) -> None:
        """Note that a request of this call, or inside it, is about to leave."""
        self.answered = False  # an earlier answer was to another request: a token, a redirect
        self.budget.host = host
        if self._outer is not None:
            self._outer._note_sending(host)

    def receiving(self, response: Any) -> None:
        """Note that a response has begun, with its headers."""
        self.answered = response.is_success
        if self._outer is not None:
            self._outer.answered = self.answered
        if "stream_id" in response.extensions:
            self.shares_connection(response.extensions["stream_id"])
        if self._latest is None and self._shared is None:
            self.connected(response.extensions.get("network_stream"))
        if self._latest is not None:
            self._open[self._latest] = _weakly(response)

    def connected(self, stream: Any) -> None:
        """Note the stream of httpcore that the request uses; None: httpcore does not show it."""
        if stream is None:
            return
        if self._stream_id is not None:
            self._shared = stream
            return
        if self._latest is not stream:
            self._open.pop(self._latest, None)  # TLS has taken the socket over
        self._latest = stream
        self._open[stream] = None
        if self._is_cut:
            self.cut()

    def shares_connection(self, stream_id: int) -> None:
        """Note that the request is a stream of HTTP/2."""
        self._stream_id = stream_id
        if self._shared is None:
            self._shared, self._latest = self._latest, None
            self._open.pop(self._shared, None)

    async def reset_stream(self) -> None:
        """Reset the request's stream at the server, if it is HTTP/2."""
        stream, stream_id = self._shared, self._stream_id
        if stream is not None and stream_id is not None:
            with contextlib.suppress(Exception):  # the connection may have ended
                await stream.write(reset_frame(stream_id))


def _weakly(response: Any) -> Callable[[], Any]:
    try:
        return ref(response)
    except TypeError:  # a stand-in that cannot be referred to weakly
        return lambda: response


def _is_closed(response: Callable[[], Any] | None) -> bool:
    """Return whether a response that has begun has been closed or dropped."""
    return response is not None and ((there := response()) is None or there.is_closed)


def host_of(request: Any) -> str | None:
    """Return the host of a request, with its port if that is unusual."""
    return request.url.netloc.decode("ascii", "replace") or None


def _ignore() -> None:
    """Do nothing, since the stream does not exist yet."""


def _shorter(left: float, given: float | None) -> float | None:
    """Return a socket's time-out: the rest of the budget, or `given` if less."""
    given = None if given is None else float(given)
    left = max(0.0, left) + SOCKET_MARGIN
    shorter = left if given is None else min(left, given)
    return None if shorter == NEVER else min(shorter, LONGEST_TIMEOUT)


def current_tracker() -> ConnectionTracker | None:
    """Return the tracker of the call that runs here; None: a call of other code."""
    tracker = _tracker.get()
    return None if tracker is None or tracker.is_done else tracker


def no_tracker() -> Token["ConnectionTracker | None"]:
    """Let requests from here on belong to no call; the token undoes that."""
    return _tracker.set(None)


def restore_tracker(token: Token["ConnectionTracker | None"]) -> None:
    """Undo `no_tracker`."""
    _tracker.reset(token)


# TLS takes the socket over from TCP, so that only the newer one can be shut down.
_CONNECTED = {
    "connection.connect_tcp.complete",
    "connection.start_tls.complete",
    "proxy.start_tls.complete",
}
_STREAM_OPENS = "http2.send_request_headers.started"


class _Trace:
    """httpcore's `trace` extension: it is called with the name of a step and its details."""

    def __init__(
        self, tracker: ConnectionTracker, others: Callable[[str, dict[str, Any]], Any] | None
    ) -> None:
        """Wrap `others`, the trace that the request had before; None: it had none."""
        self._tracker = tracker
        self._others = others

    def __call__(self, event: str, details: dict[str, Any]) -> None:
        self._note(event, details)
        if self._others is not None:
            self._others(event, details)

    def _note(self, event: str, details: dict[str, Any]) -> None:
        if event in _CONNECTED:
            self._tracker.connected(details["return_value"])
        elif event == _STREAM_OPENS:
            self._tracker.shares_connection(details["stream_id"])


class _AsyncTrace(_Trace):
    async def __call__(self, event: str, details: dict[str, Any]) -> None:  # type: ignore[override]
        self._note(event, details)
        if self._others is not None:
            await self._others(event, details)
