"""A bounded transport over hand-made ones: what it sends, raises, closes and leaves alone."""

import asyncio
import contextvars
import copy
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import looptime
import openai
import pytest

from stream_deadline import StreamDeadlineExceeded, _clock, _transport, deadline
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import CallGroup
from stream_deadline._connection import ConnectionTracker
from stream_deadline._http2 import reset_frame
from stream_deadline._transport import (
    AsyncDeadlineTransport,
    DeadlineTransport,
    EitherDeadlineTransport,
    wrap,
)
from tests.stream_deadline.in_memory import FAMILY, of
from tests.stream_deadline.pools import a_pool
from tests.stream_deadline.still_clock import Clock, machine_stands_still

URL = "http://server:8000/v1"
both = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    """The clock of every call, which only what is late moves."""
    with machine_stands_still() as clock:
        yield clock


class Inner:
    """A transport that answers as a function says, and notes what it is asked for."""

    def __init__(self, answer: Callable[[Any], Any] = lambda _: of(200), **inside: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.seen: list[Any] = []
        self._answer = answer
        vars(self).update(inside)

    def _take(self, request: Any) -> None:
        self.sent.append(dict(request.extensions))


class SyncInner(Inner):
    def handle_request(self, request: Any) -> Any:
        self._take(request)
        return self._answer(request)

    def close(self) -> None:
        self.seen.append("closed")

    def __enter__(self) -> None:
        self.seen.append("entered")

    def __exit__(self, *given: Any) -> None:
        self.seen.append(given)


class AsyncInner(Inner):
    async def handle_async_request(self, request: Any) -> Any:
        self._take(request)
        answer = self._answer(request)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def aclose(self) -> None:
        self.seen.append("closed")

    async def __aenter__(self) -> None:
        self.seen.append("entered")

    async def __aexit__(self, *given: Any) -> None:
        self.seen.append(given)


def inner(kind: str, *given: Any, **inside: Any) -> Any:
    return (SyncInner if kind == "sync" else AsyncInner)(*given, **inside)


def a_request(attempt: int | None = None, *, body: bytes = b"{}", by: str = "") -> Any:
    """A request; `attempt`: that of the OpenAI SDK."""
    headers = {} if attempt is None else {"x-stainless-retry-count": str(attempt)}
    if attempt is not None:
        headers["user-agent"] = "OpenAI/Python 3.52.0"
    timeouts = {"connect": None, "read": None, "write": None, "pool": None}
    return FAMILY.Request(
        "POST", URL, content=body, headers=headers, extensions={"timeout": timeouts}
    )


def send(kind: str, transport: Any, request: Any) -> Any:
    """Send a request in a context of its own."""
    context = contextvars.copy_context()
    if kind == "sync":
        return context.run(transport.handle_request, request)
    return context.run(lambda: asyncio.run(transport.handle_async_request(request)))


def run_virtually(work: Coroutine[Any, Any, None]) -> None:
    """Run in a loop whose waits take no time."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(work)


def a_call(timeout: float = 45) -> ConnectionTracker:
    """A call with bounds of its own, such as that of a model."""
    return ConnectionTracker(Budget(Bounds(timeout), _clock.monotonic), blocking=False)


# What is wrapped how


class EitherInner(SyncInner, AsyncInner):
    pass


@pytest.mark.parametrize(
    ("transport", "kind"),
    [
        (SyncInner(), DeadlineTransport),
        (AsyncInner(), AsyncDeadlineTransport),
        (EitherInner(), EitherDeadlineTransport),
    ],
)
def test_a_transport_is_wrapped_by_one_of_its_kind_and_only_once(
    transport: Any, kind: type
) -> None:
    wrapped: Any = wrap(transport, None)
    assert wrapped.inner is transport
    assert type(wrapped) is kind
    assert wrap(wrapped, None) is wrapped
    bounded = wrap(wrapped, Bounds(45))
    assert bounded is not wrapped
    assert bounded.inner is transport


def test_another_thing_than_a_transport_is_refused() -> None:
    with pytest.raises(TypeError, match="A list is no transport of httpx or httpx2"):
        wrap([], Bounds(45))


def test_only_a_synchronous_transport_that_speaks_http_2_is_refused() -> None:
    with pytest.raises(ValueError, match="speaks HTTP/2"):
        wrap(SyncInner(_pool=a_pool(_http2=True)), None)
    assert wrap(AsyncInner(_pool=a_pool(_http2=True)), None)
    assert wrap(SyncInner(_pool=a_pool(_http2=False)), None)
    assert wrap(SyncInner(_pool=a_pool()), None)


def test_a_wrapped_transport_has_the_attributes_of_its_inner_one_and_can_be_copied() -> None:
    transport = wrap(SyncInner(extra="more"), Bounds(45))
    assert transport.extra == "more"
    assert copy.copy(transport).extra == "more"
    with pytest.raises(AttributeError):
        _ = transport.no_such_name


def test_a_wrapped_transport_is_entered_left_and_closed_with_its_inner_one() -> None:
    one, other = SyncInner(), AsyncInner()
    error = ValueError("of the block")

    def enter(transport: Any) -> None:
        with transport as entered:
            assert entered is transport
            raise error

    async def enter_async(transport: Any) -> None:
        async with transport as entered:
            assert entered is transport
            raise error

    transport = wrap(one, Bounds(45))
    with pytest.raises(ValueError, match="of the block"):
        enter(transport)
    transport.close()
    assert one.seen[0] == "entered"
    assert one.seen[1][:2] == (ValueError, error)
    assert one.seen[2:] == ["closed"]

    async def play() -> None:
        transport = wrap(other, Bounds(45))
        with pytest.raises(ValueError, match="of the block"):
            await enter_async(transport)
        await transport.aclose()

    asyncio.run(play())
    assert other.seen[0] == "entered"
    assert other.seen[1][:2] == (ValueError, error)
    assert other.seen[2:] == ["closed"]


# A request without a bound


@both
@pytest.mark.parametrize("bounds", [None, Bounds()])
def test_a_request_that_nothing_bounds_is_passed_on_as_it_is(
    bounds: Bounds | None, kind: str
) -> None:
    response, request = of(200), a_request()
    stream, given = response.stream, request.extensions
    beneath = inner(kind, lambda _: response)
    assert send(kind, wrap(beneath, bounds), request) is response
    assert response.stream is stream
    assert beneath.sent == [given]
    assert request.extensions is given


@both
def test_a_request_in_a_group_is_a_call_though_nothing_bounds_it(kind: str) -> None:
    beneath = inner(kind)
    with CallGroup():
        send(kind, wrap(beneath, Bounds()), a_request())
    send(kind, wrap(beneath, Bounds()), a_request())
    assert ["trace" in each for each in beneath.sent] == [True, False]


# A request with bounds


@both
def test_a_bounded_request_has_extensions_of_its_own_only_while_it_is_sent(kind: str) -> None:
    request, response = a_request(), of(200)
    given, before = request.extensions, copy.deepcopy(request.extensions)
    beneath = inner(kind, lambda _: response)
    assert send(kind, wrap(beneath, Bounds(20)), request) is response
    [sent] = beneath.sent
    assert "trace" in sent
    if kind == "sync":
        assert all(19 < seconds < 21 for seconds in sent["timeout"].values())
    else:
        assert sent["timeout"] == before["timeout"]
    assert request.extensions is given
    assert given == before


@pytest.mark.parametrize(
    ("kind", "pool", "traces"),
    [
        ("sync", a_pool(_http2=False), False),
        ("async", a_pool(_http2=False), False),
        ("async", a_pool(_http2=True), True),
        ("sync", None, True),
        ("async", None, True),
    ],
)
def test_only_a_request_whose_connection_is_not_seen_otherwise_is_traced(
    kind: str, pool: Any, traces: bool
) -> None:
    beneath = inner(kind, _pool=copy.copy(pool))
    send(kind, wrap(beneath, Bounds(45)), a_request())
    call = a_call()
    transport = wrap(beneath, None)
    if kind == "sync":
        call.context().run(transport.handle_request, a_request())
    else:
        call.context().run(asyncio.run, transport.handle_async_request(a_request()))
    assert ["trace" in each for each in beneath.sent] == [traces] * 2


@pytest.mark.parametrize(
    ("body", "connect"), [(b'{"stream": true}', 5), (b'{"stream": false}', 45)]
)
def test_a_part_bounds_streams_only(body: bytes, connect: float) -> None:
    beneath = SyncInner()
    transport = wrap(beneath, Bounds(45, first_chunk_timeout=5))
    transport.handle_request(a_request(body=body))
    assert connect - 1 < beneath.sent[0]["timeout"]["connect"] < connect + 1


FOLLOWED = (301, 302, 303, 307, 308, 401, 407)


@both
@pytest.mark.parametrize("status", [*FOLLOWED, 200, 304, 309, 402, 404, 408, 500])
def test_only_a_request_that_another_will_follow_carries_its_budget_on(
    status: int, kind: str
) -> None:
    """httpx gives the next request the extensions of the one before."""
    request, beneath = a_request(), inner(kind, lambda _: of(status))
    before = set(request.extensions)
    send(kind, wrap(beneath, Bounds(45)), request)
    assert bool(set(request.extensions) - before) is (status in FOLLOWED)


@both
def test_a_request_that_follows_another_has_the_rest_of_its_budget(kind: str, clock: Clock) -> None:
    request, beneath = a_request(), inner(kind, lambda _: of(302))
    transport = wrap(beneath, Bounds(5))
    send(kind, transport, request)
    clock.time += 6
    with pytest.raises(StreamDeadlineExceeded):
        send(kind, transport, request)
    send(kind, transport, request)  # it was handed on once


@both
def test_the_attempts_of_an_sdk_share_the_budget_of_the_first(kind: str, clock: Clock) -> None:
    def attempts() -> None:
        beneath = inner(kind)
        transport = wrap(beneath, Bounds(5))
        if kind == "sync":
            transport.handle_request(a_request(0))
            clock.time += 6
            with pytest.raises(StreamDeadlineExceeded):
                transport.handle_request(a_request(1))
            transport.handle_request(a_request(0))
            return

        async def play() -> None:
            await transport.handle_async_request(a_request(0))
            clock.time += 6
            with pytest.raises(StreamDeadlineExceeded):
                await transport.handle_async_request(a_request(1))
            await transport.handle_async_request(a_request(0))

        asyncio.run(play())

    contextvars.copy_context().run(attempts)


def test_a_second_attempt_inside_a_deadline_is_bounded_though_the_first_was_not() -> None:
    def attempts() -> None:
        beneath = SyncInner()
        transport = wrap(beneath, Bounds())
        with CallGroup():
            transport.handle_request(a_request(0))
            with deadline(20):
                transport.handle_request(a_request(1))
        assert beneath.sent[0]["timeout"]["read"] is None
        assert 19 < beneath.sent[1]["timeout"]["read"] < 21

    contextvars.copy_context().run(attempts)


@both
def test_the_body_of_a_bounded_response_ends_at_the_deadline(kind: str, clock: Clock) -> None:
    class Late(FAMILY.AsyncByteStream, FAMILY.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Any:
            clock.time += 6
            yield b"late"

        async def __aiter__(self) -> Any:
            await asyncio.sleep(30)
            yield b"late"

    response = FAMILY.Response(200, stream=Late())
    transport = wrap(inner(kind, lambda _: response), Bounds(5))
    if kind == "sync":
        stream = transport.handle_request(a_request()).stream
        with pytest.raises(StreamDeadlineExceeded):
            list(stream)
        return

    async def play() -> None:
        stream = (await transport.handle_async_request(a_request())).stream
        with pytest.raises(StreamDeadlineExceeded):
            async for _ in stream:
                pass

    run_virtually(play())


# Errors of a request with bounds


def failing(error: BaseException) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        raise error

    return answer


class Interrupted(BaseException):
    """An error that is no `Exception`, such as Ctrl-C."""


@both
@pytest.mark.parametrize("error", [OSError("no route"), Interrupted()])
@pytest.mark.parametrize("attempt", [None, 0])
def test_an_error_with_time_left_is_raised_as_it_is(
    attempt: int | None, error: BaseException, kind: str
) -> None:
    with pytest.raises(type(error)) as caught:
        send(kind, wrap(inner(kind, failing(error)), Bounds(45)), a_request(attempt))
    assert caught.value is error


@both
@pytest.mark.parametrize("error", [OSError("no route"), Interrupted()])
def test_an_error_without_time_for_another_attempt_is_one_that_the_sdk_does_not_retry(
    error: BaseException, kind: str
) -> None:
    kinds = (openai.APIConnectionError, Interrupted)
    with pytest.raises(kinds) as caught:
        send(kind, wrap(inner(kind, failing(error)), Bounds(0.3)), a_request(4))
    if isinstance(error, OSError):
        assert type(caught.value) is openai.APIConnectionError
        assert caught.value.__cause__ is error
    else:
        assert caught.value is error


@both
def test_a_refusal_without_time_for_another_attempt_asks_the_sdk_for_none(kind: str) -> None:
    for timeout, said in ((5, "false"), (45, None)):
        beneath = inner(kind, lambda _: of(503, retry_after="30"))
        response = send(kind, wrap(beneath, Bounds(timeout)), a_request(0))
        assert response.headers.get("x-should-retry") == said


@both
def test_a_response_that_comes_after_the_deadline_is_closed(kind: str, clock: Clock) -> None:
    response = of(200)

    class Body(FAMILY.AsyncByteStream, FAMILY.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Any:
            yield b""

        async def __aiter__(self) -> Any:
            yield b""

    response = FAMILY.Response(200, stream=Body())

    def late(_: Any) -> Any:
        clock.time += 6
        return response

    with pytest.raises(StreamDeadlineExceeded) as caught:
        send(kind, wrap(inner(kind, late), Bounds(5)), a_request())
    assert response.is_closed
    assert isinstance(caught.value, openai.OpenAIError)
    assert (caught.value.bound, caught.value.limit) == ("timeout", 5)


@pytest.mark.parametrize("comes", ["at once", "after the wait for it"])
def test_a_response_that_comes_though_its_request_was_cancelled_is_closed(comes: str) -> None:
    closed: list[str] = []

    class Response:
        async def aclose(self) -> None:
            closed.append("response")

    async def play() -> None:
        may_come = asyncio.Event()

        async def deaf(_: Any) -> Any:
            group.end()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            while comes != "at once" and not may_come.is_set():
                with suppress(asyncio.CancelledError):
                    await may_come.wait()
            return Response()

        with CallGroup() as group, pytest.raises(StreamDeadlineExceeded):
            await wrap(AsyncInner(deaf), Bounds(5)).handle_async_request(a_request())
        assert closed == (["response"] if comes == "at once" else [])
        may_come.set()
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(play())
    assert closed == ["response"]


def test_a_request_of_http_2_that_fails_is_reset() -> None:
    written: list[bytes] = []

    class Stream:
        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            written.append(buffer)

    async def breaks(request: Any) -> Any:
        trace = request.extensions["trace"]
        await trace("connection.connect_tcp.complete", {"return_value": Stream()})
        await trace("http2.send_request_headers.started", {"stream_id": 5})
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        send("async", wrap(AsyncInner(breaks), Bounds(45)), a_request())
    assert written == [reset_frame(5)]


# A request of a call with bounds of its own


def within(kind: str, call: ConnectionTracker, transport: Any, request: Any) -> Any:
    return call.context().run(send, kind, transport, request)


@both
def test_a_request_of_a_call_reports_to_it(kind: str) -> None:
    call, request, response = a_call(), a_request(), of(200)
    given = request.extensions
    beneath = inner(kind, lambda _: response)
    assert within(kind, call, wrap(beneath, None), request) is response
    assert call.budget.host == "server:8000"
    assert call.answered
    assert request.extensions is given
    assert "trace" in beneath.sent[0]
    assert "trace" not in given


@both
def test_no_request_leaves_for_a_call_that_is_over(kind: str) -> None:
    call, beneath = a_call(), inner(kind)
    call.cut()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        within(kind, call, wrap(beneath, None), a_request())
    assert isinstance(caught.value, openai.OpenAIError)
    assert beneath.sent == []


@both
def test_an_error_of_a_call_that_is_over_is_that_of_its_deadline(kind: str) -> None:
    call, error = a_call(), OSError("shut down")

    def ends(_: Any) -> Any:
        call.cut()
        raise error

    with pytest.raises(StreamDeadlineExceeded) as caught:
        within(kind, call, wrap(inner(kind, ends), None), a_request())
    assert caught.value.__cause__ is error
    own = StreamDeadlineExceeded("timeout", 5, 5)
    with pytest.raises(StreamDeadlineExceeded) as caught:
        within(kind, a_call(), wrap(inner(kind, failing(own)), None), a_request())
    assert caught.value is own


@both
def test_an_error_of_a_call_with_time_left_is_raised_as_it_is(kind: str) -> None:
    error = OSError("no route")
    for attempt in (None, 0):
        with pytest.raises(OSError, match="no route") as caught:
            within(kind, a_call(), wrap(inner(kind, failing(error)), None), a_request(attempt))
        assert caught.value is error


@both
def test_an_sdk_makes_no_attempt_that_would_come_after_the_end_of_its_call(kind: str) -> None:
    error = OSError("no route")
    with pytest.raises(openai.APIConnectionError) as caught:
        within(kind, a_call(0.3), wrap(inner(kind, failing(error)), None), a_request(4))
    assert caught.value.__cause__ is error
    beneath = inner(kind, lambda _: of(503, retry_after="30"))
    response = within(kind, a_call(5), wrap(beneath, None), a_request(0))
    assert response.headers["x-should-retry"] == "false"


# A response that has come, when what follows fails


class Unread(FAMILY.AsyncByteStream, FAMILY.SyncByteStream):  # type: ignore[misc]
    """A body that nothing has read yet."""

    def __iter__(self) -> Any:
        yield b""

    async def __aiter__(self) -> Any:
        yield b""


def refusing(**headers: str) -> Any:
    """A refusal whose body has yet to be read, so that it holds its connection."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FAMILY.Response(429, stream=Unread(), headers=named)


def send_within(kind: str, whose: str, response: Any) -> Any:
    """Send an SDK's first attempt, bounded by its transport or by a call."""
    beneath = inner(kind, lambda _: response)
    if whose == "request":
        return send(kind, wrap(beneath, Bounds(45)), a_request(0))
    return within(kind, a_call(), wrap(beneath, None), a_request(0))


@both
@pytest.mark.parametrize("whose", ["request", "call"])
def test_a_time_to_retry_that_cannot_be_read_leaves_the_refusal_as_it_is(
    whose: str, kind: str
) -> None:
    response = refusing(retry_after="Fri, 31 Dec 99999 23:59:59 GMT")
    assert send_within(kind, whose, response) is response
    assert "x-should-retry" not in response.headers
    assert not response.is_closed


@both
@pytest.mark.parametrize("error", [ArithmeticError("of ours"), Interrupted()])
@pytest.mark.parametrize(
    ("whose", "where", "step"),
    [
        ("request", ConnectionTracker, "receiving"),
        ("request", _transport, "forbid_late_retry"),
        ("request", _transport, "bound_{kind}body"),
        ("call", ConnectionTracker, "receiving"),
        ("call", _transport, "forbid_late_retry"),
    ],
)
def test_a_response_is_closed_if_a_step_that_follows_it_fails(
    whose: str,
    where: Any,
    step: str,
    error: BaseException,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    step = step.format(kind="" if kind == "sync" else "async_")
    monkeypatch.setattr(where, step, fail)
    response = refusing()
    with pytest.raises(type(error)) as caught:
        send_within(kind, whose, response)
    assert caught.value is error
    assert response.is_closed
