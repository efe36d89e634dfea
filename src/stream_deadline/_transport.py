"""Bound the requests of a client, whatever is built on it.

A transport stands between a client and the client's own transport. It makes a call of each request,
from the moment the request is handed over to the last byte of the response.

The classes are not subclasses of httpx's: one class serves httpx and httpx2, and some SDKs refuse
the classes of the other one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

from stream_deadline import _clock, _network
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._body import bound_async_body, bound_body
from stream_deadline._bounded import BoundedStream
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import current_group
from stream_deadline._connection import ConnectionTracker, current_tracker, host_of
from stream_deadline._deadline import NEVER, clock_of
from stream_deadline._errors import StreamDeadlineExceeded
from stream_deadline._sdk import (
    as_sdk_error,
    asks_for_stream,
    budget_of_first_attempt,
    final_error,
    forbid_late_retry,
    model_of,
    note_first_attempt,
)

_BUDGET = "stream_deadline.budget"
# What httpx answers with another request: redirects, and challenges of an auth flow.
_FOLLOWED = (301, 302, 303, 307, 308, 401, 407)


@contextmanager
def _own_extensions(request: Any) -> Iterator[None]:
    """Give a request extensions to change while it is sent, which it loses afterwards."""
    given = request.extensions
    request.extensions = dict(given)
    try:
        yield
    finally:
        request.extensions = given


class _Transport:
    """What both transports share."""

    _blocking: bool

    def __init__(self, inner: Any, bounds: Bounds | None) -> None:
        """Wrap a transport.

        Args:
            inner: a transport of httpx or httpx2.
            bounds: of each request. None: the transport only tells calls that have a tracker which
                connection they use, and leaves all others alone.

        Raises:
            ValueError: the transport is synchronous and speaks HTTP/2.
        """
        is_multiplexed = getattr(_network.pool_under(inner), "_http2", False)
        if self._blocking and is_multiplexed:
            raise ValueError(
                "This synchronous client speaks HTTP/2 (http2=True), where requests share a "
                "connection and none of them can be ended without the others. Make it with "
                "http2=False, or use an asynchronous client."
            )
        self.inner = inner
        self._bounds = bounds
        tracked = _network.track_transport(inner, current_tracker, blocking=self._blocking)
        self._traces = is_multiplexed or not tracked

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # a copy asks for it before it has one
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _begin(self, request: Any, clock: Any, *, blocking: bool) -> "_Call | None":
        """Return the call that a request is; None: nothing here bounds it."""
        bounds = self._bounds
        if bounds is None:
            return None
        budget = request.extensions.pop(_BUDGET, None) or budget_of_first_attempt(request)
        if budget is None:
            if bounds.has_parts and not asks_for_stream(request):
                bounds = Bounds(bounds.timeout)
            budget = Budget(bounds, clock)
            budget.name_model, budget.host = partial(model_of, request), host_of(request)
            if budget.due < NEVER:
                note_first_attempt(request, budget)
        if budget.due == NEVER and current_group() is None:
            return None
        return _Call(self, request, budget, blocking=blocking)

    @contextmanager
    def _reporting(self, tracker: ConnectionTracker, request: Any) -> Iterator[None]:
        """Send a request in a `with` block, for a call with its own bounds.

        Raises:
            StreamDeadlineExceeded: the call is over. The SDK would try again after another error.
        """
        if tracker.is_over:
            raise _error_of(tracker)
        try:
            with _own_extensions(request):
                tracker.sending(request, trace=self._traces)
                yield
        except StreamDeadlineExceeded:
            raise
        except Exception as error:
            if tracker.is_over:
                raise _error_of(tracker) from error
            _raise_for_sdk(request, error, tracker.budget)
            raise

    def _has_come(self, tracker: ConnectionTracker, request: Any, response: Any) -> None:
        tracker.receiving(response)
        forbid_late_retry(request, response, tracker.budget)


def _raise_for_sdk(request: Any, error: BaseException, budget: Budget) -> None:
    """Raise what keeps the SDK from an attempt that would come too late."""
    if isinstance(error, StreamDeadlineExceeded):
        raise as_sdk_error(error) from error.__cause__
    if isinstance(error, Exception):
        final = final_error(request, error, budget)
        if final is not error:
            raise final from error


def _error_of(tracker: ConnectionTracker) -> StreamDeadlineExceeded:
    return as_sdk_error(tracker.budget.quiet_error())


class _Call:
    """One request until its response begins.

    Attributes:
        budget: its bounds.
        tracker: of its connection.
        response: what the inner transport has returned; None: nothing yet.
        is_given_up: whether the client has stopped waiting for the response.
    """

    def __init__(
        self, transport: _Transport, request: Any, budget: Budget, *, blocking: bool
    ) -> None:
        self.budget = budget
        self.response: Any = None
        self.is_given_up = False
        self.tracker = ConnectionTracker.begin(budget, blocking=blocking)
        self._transport = transport
        self._request = request

    def send(self) -> Iterator[Any]:
        """Yield the response, once."""
        with _own_extensions(self._request):
            self.tracker.sending(self._request, trace=self._transport._traces)
            self.response = self._transport.inner.handle_request(self._request)
        self._note(self.response)
        yield self.response

    def _note(self, response: Any) -> None:
        self.tracker.receiving(response)
        if response.status_code in _FOLLOWED:
            # httpx gives a request that follows a redirect, or answers a challenge, these too.
            self._request.extensions[_BUDGET] = self.budget

    async def send_async(self) -> AsyncIterator[Any]:
        """Yield the response, once."""
        with _own_extensions(self._request):
            self.tracker.sending(self._request, trace=self._transport._traces)
            try:
                response = await self._transport.inner.handle_async_request(self._request)
            except BaseException:
                await self.tracker.reset_stream()
                raise
        if self.is_given_up:  # it came although it had been cancelled
            await response.aclose()
            return
        self.response = response
        self._note(response)
        yield response


class DeadlineTransport(_Transport):
    """Bounds each request of a synchronous client; see `bounded_transport`."""

    _blocking = True

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.inner.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the inner transport."""
        self.inner.close()

    def handle_request(self, request: Any) -> Any:
        """Send a request and return the response, whose body is bounded too.

        Raises:
            StreamDeadlineExceeded: a bound is reached before the response begins.
        """
        call = self._begin(request, _clock.monotonic, blocking=True)
        if call is None:
            return self._send(request)
        tracker = call.tracker
        try:
            with BoundedIterator(
                call.send(), call.budget, NullAccumulator(), tracker.cut, tracker.context()
            ) as sent:
                response = next(sent)
            forbid_late_retry(request, response, call.budget)
            bound_body(response, call.budget, tracker)
        except BaseException as error:
            if call.response is not None:
                call.response.close()
            _raise_for_sdk(request, error, call.budget)
            raise
        return response

    def _send(self, request: Any) -> Any:
        """Send a request that belongs to a call with its own bounds, or to none."""
        tracker = current_tracker()
        if tracker is None:
            return self.inner.handle_request(request)
        with self._reporting(tracker, request):
            response = self.inner.handle_request(request)
        try:
            self._has_come(tracker, request, response)
        except BaseException:
            response.close()
            raise
        return response


class AsyncDeadlineTransport(_Transport):
    """Bounds each request of an asynchronous client; see `bounded_transport`."""

    _blocking = False

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.inner.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self.inner.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request and return the response, whose body is bounded too.

        Raises:
            StreamDeadlineExceeded: a bound is reached before the response begins.
        """
        call = self._begin(request, clock_of(asyncio.get_running_loop()), blocking=False)
        if call is None:
            return await self._send_async(request)
        tracker = call.tracker
        try:
            async with BoundedStream(
                call.send_async(), call.budget, NullAccumulator(), tracker.cut, tracker.context()
            ) as sent:
                response = await anext(sent)
            forbid_late_retry(request, response, call.budget)
            bound_async_body(response, call.budget, tracker)
        except BaseException as error:
            call.is_given_up = True
            if call.response is not None:
                await call.response.aclose()
            _raise_for_sdk(request, error, call.budget)
            raise
        return response

    async def _send_async(self, request: Any) -> Any:
        """Send a request that belongs to a call with its own bounds, or to none."""
        tracker = current_tracker()
        if tracker is None:
            return await self.inner.handle_async_request(request)
        with self._reporting(tracker, request):
            response = await self.inner.handle_async_request(request)
        try:
            self._has_come(tracker, request, response)
        except BaseException:
            await response.aclose()
            raise
        return response


class EitherDeadlineTransport(DeadlineTransport, AsyncDeadlineTransport):
    """Bounds each request of a transport that serves both kinds of client, as mocks do."""


def wrap(transport: Any, bounds: Bounds | None) -> Any:
    """Return a bounded transport around another, in place of the bounds it may have already.

    Args:
        transport: of httpx or httpx2, or what looks like one.
        bounds: of each request; None: see `_Transport`.

    Raises:
        TypeError: it is no transport.
        ValueError: it is synchronous and speaks HTTP/2.
    """
    inner = transport
    if isinstance(transport, _Transport):
        if bounds is None:
            return transport  # it reports already
        inner = transport.inner
    blocking, waiting = hasattr(inner, "handle_request"), hasattr(inner, "handle_async_request")
    if not (blocking or waiting):
        raise TypeError(f"A {type(inner).__name__} is no transport of httpx or httpx2.")
    if blocking and waiting:
        return EitherDeadlineTransport(inner, bounds)
    return (DeadlineTransport if blocking else AsyncDeadlineTransport)(inner, bounds)
