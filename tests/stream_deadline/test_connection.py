"""The record of a call's connection, and when the call may end it."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from weakref import ref

import httpx2
import pytest

from stream_deadline import _connection
from stream_deadline._budget import Bounds, Budget
from stream_deadline._connection import (
    ConnectionTracker,
    current_tracker,
    host_of,
    no_tracker,
    restore_tracker,
)
from stream_deadline._http2 import reset_frame
from stream_deadline._http_clients import report_to_calls
from stream_deadline._network import AsyncStream, _SyncStream, _track_pool, pool_under
from tests.stream_deadline.pools import a_pool
from tests.stream_deadline.still_clock import Clock
from tests.stream_deadline.wires import is_at_its_end

STILL = Clock()


class Wire:
    """A connection, as httpcore shows it."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.far.setblocking(False)

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.near}.get(name)

    def close(self) -> None:
        self.near.close()

    @property
    def is_cut(self) -> bool:
        return is_at_its_end(self.far)

    @property
    def is_closed(self) -> bool:
        return self.near.fileno() == -1


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.near.close()
    wire.far.close()


def tracker(timeout: float | None = 45, *, blocking: bool = True) -> ConnectionTracker:
    return ConnectionTracker(Budget(Bounds(timeout), STILL), blocking=blocking)


def approximately(seconds: float) -> Any:
    """Seconds that differ by their rounding only."""
    return pytest.approx(seconds, abs=1e-6)


def a_request() -> Any:
    return SimpleNamespace(
        url=httpx2.URL("http://server:8000/v1"),
        extensions={"timeout": {"connect": 5.0, "read": 100.0, "write": None, "pool": None}},
    )


def a_response(wire: Wire, *, status: int = 200, is_closed: bool = False, **extensions: Any) -> Any:
    return SimpleNamespace(
        is_success=status < 300,
        is_closed=is_closed,
        extensions={"network_stream": wire, **extensions},
    )


def test_work_that_goes_on_after_a_call_does_not_belong_to_it() -> None:
    call = tracker()
    context = call.context()
    assert context.run(current_tracker) is call
    call.finish()
    assert context.run(current_tracker) is None


def test_work_that_belongs_to_no_call_leaves_the_call_as_it_was() -> None:
    def work() -> None:
        token = no_tracker()
        assert current_tracker() is None
        restore_tracker(token)
        assert current_tracker() is call

    call = tracker()
    call.context().run(work)


@pytest.mark.parametrize(("given", "left"), [(None, 45), (3.0, 3), (100.0, 45)])
def test_a_socket_has_what_is_left_of_the_budget_or_less(given: float | None, left: float) -> None:
    allowed = tracker().time_left(given)
    assert allowed is not None
    assert allowed == approximately(left + 0.02 if given != 3.0 else left)


def test_a_connection_in_use_is_shut_down_but_not_closed(wire: Wire) -> None:
    call = tracker()
    call.receiving(a_response(wire))
    call.cut(in_use=True)
    assert wire.is_cut
    assert not wire.is_closed


def test_a_connection_that_is_not_in_use_is_closed(wire: Wire) -> None:
    call = tracker()
    call.receiving(a_response(wire))
    call.cut(in_use=False)
    assert wire.is_closed


def test_a_connection_that_went_back_to_the_pool_is_left_alone(wire: Wire) -> None:
    call = tracker()
    call.receiving(a_response(wire, is_closed=True))
    call.cut()
    assert not wire.is_cut


def test_an_http_2_connection_is_left_alone_because_calls_share_it(wire: Wire) -> None:
    call = tracker()
    call.connected(wire)
    call.receiving(a_response(wire, stream_id=3))
    call.cut()
    assert not wire.is_cut


def test_a_new_connection_is_known_before_the_response(wire: Wire) -> None:
    call, request = tracker(), a_request()
    call.sending(request, trace=True)
    request.extensions["trace"]("connection.connect_tcp.complete", {"return_value": wire})
    call.cut()
    assert wire.is_cut


def test_tls_replaces_the_connection(wire: Wire) -> None:
    call, request, plain = tracker(), a_request(), Wire()
    call.sending(request, trace=True)
    request.extensions["trace"]("connection.connect_tcp.complete", {"return_value": plain})
    request.extensions["trace"]("connection.start_tls.complete", {"return_value": wire})
    call.cut()
    assert wire.is_cut


def test_a_connection_that_opens_too_late_is_closed_at_once(wire: Wire) -> None:
    call = tracker()
    call.cut()
    call.connected(wire)
    assert wire.is_cut


def test_an_earlier_trace_function_still_works(wire: Wire) -> None:
    seen: list[str] = []
    request = a_request()
    request.extensions["trace"] = lambda event, details: seen.append(event)
    tracker().sending(request, trace=True)
    request.extensions["trace"]("http11.send_request_headers.started", {})
    assert seen == ["http11.send_request_headers.started"]


def test_a_blocking_call_gets_time_outs_that_end_a_little_after_its_budget() -> None:
    request = a_request()
    tracker(20).sending(request)
    assert "trace" not in request.extensions, "only what cannot wrap a transport asks for one"
    bounds = request.extensions["timeout"]
    assert bounds["connect"] == 5.0
    assert [bounds[phase] for phase in ("read", "write", "pool")] == [approximately(20.02)] * 3


@pytest.mark.parametrize(
    "call", [tracker(20, blocking=False), tracker(None)], ids=["asynchronous", "without a bound"]
)
def test_other_calls_keep_their_own_time_outs(call: ConnectionTracker) -> None:
    request = a_request()
    call.sending(request)
    assert request.extensions["timeout"] == a_request().extensions["timeout"]


@pytest.mark.parametrize(("status", "answered"), [(200, True), (429, False), (503, False)])
def test_only_a_good_response_is_an_answer(status: int, answered: bool, wire: Wire) -> None:
    call = tracker()
    call.receiving(a_response(wire, status=status))
    assert call.answered is answered


def test_a_client_that_is_not_one_of_httpx_is_left_alone() -> None:
    report_to_calls(object())


def test_a_budget_that_is_used_up_still_gives_a_valid_socket_time_out() -> None:
    request, now = a_request(), [0.0]
    call = ConnectionTracker(Budget(Bounds(1), lambda: now[0]), blocking=True)
    now[0] = 5.0
    call.sending(request)
    assert all(
        0 < request.extensions["timeout"][phase] < 0.1
        for phase in ("connect", "read", "write", "pool")
    )


class Inner:
    """A stream of httpcore's, as far as it is written to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._wire.near.sendall(buffer)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._wire.near.recv(max_bytes)

    def get_extra_info(self, name: str) -> Any:
        return self._wire.get_extra_info(name)


def test_a_connection_is_ended_only_by_the_call_that_wrote_to_it_last(wire: Wire) -> None:
    first, second = tracker(), tracker()
    working: list[ConnectionTracker | None] = [first]
    stream = _SyncStream(Inner(wire), lambda: working[0], 0.0)
    stream.write(b"POST")
    wire.far.send(b"200")
    stream.read(100)
    working[0] = second
    stream.write(b"POST")
    assert stream.reused
    assert not stream.heard
    first.cut()
    wire.far.recv(100)
    assert not wire.is_cut
    second.cut()
    assert wire.is_cut


def test_the_pieces_of_a_request_are_one_request_until_a_byte_comes_back(wire: Wire) -> None:
    call = tracker()
    told: list[Any] = []
    call.connected = told.append  # type: ignore[method-assign, assignment]
    stream = _SyncStream(Inner(wire), lambda: call, 0.0)
    stream.write(b"POST")
    stream.write(b"body")
    assert (told, stream.reused) == ([stream], False)
    wire.far.send(b"401")
    stream.read(100)
    stream.write(b"POST again")
    assert (told, stream.reused) == ([stream, stream], True)


def test_a_connection_of_the_parent_process_looks_readable_and_keeps_its_socket(wire: Wire) -> None:
    """A pool drops an idle connection that is readable."""
    stream = _SyncStream(Inner(wire), lambda: None, 0.0)
    assert (stream.get_extra_info("is_readable"), stream.get_extra_info("socket")) == (
        None,
        wire.near,
    )
    stream._process = 0
    assert (stream.get_extra_info("is_readable"), stream.get_extra_info("socket")) == (
        True,
        wire.near,
    )


def test_a_connection_that_another_call_has_taken_is_left_alone(wire: Wire) -> None:
    call = tracker()
    working: list[ConnectionTracker | None] = [call]
    stream = _SyncStream(Inner(wire), lambda: working[0], 0.0)
    stream.write(b"POST")
    working[0] = None  # a request of other code, without a bound
    stream.write(b"POST")
    call.cut()
    wire.far.recv(100)
    assert not wire.is_cut


@pytest.mark.parametrize(
    ("secure", "opened_in", "answered_before", "says", "after", "stale"),
    [
        (False, 0.001, True, b"", 0.0, True),
        (False, 0.001, False, b"", 0.0, False),
        (False, 0.001, True, b"200", 0.0, False),
        (False, 0.001, True, b"", 1.0, False),
        (False, 1.0, True, b"", 5.0, True),  # a slow way
        (False, 1.0, True, b"", 20.5, False),
        (False, 0.001, True, b"", 0.5, True),
        (True, 0.001, True, b"", 0.5, False),
        (True, 1.0, True, b"", 5.0, False),
        (True, 1.0, True, b"", 1.0, True),
        (True, 2.0, True, b"", 3.0, True),
        (True, 2.0, True, b"", 5.0, False),
    ],
)
def test_an_end_soon_after_a_request_over_a_used_connection_is_the_pools(
    secure: bool, opened_in: float, answered_before: bool, says: bytes, after: float, stale: bool,
    wire: Wire,
) -> None:  # fmt: skip
    first, call = tracker(), tracker()
    working = [first]
    stream = _SyncStream(Inner(wire), lambda: working[0], opened_in, secure=secure)
    stream.write(b"POST")
    if answered_before:
        wire.far.send(b"200")
        stream.read(100)
    working[0] = call
    stream.write(b"POST")
    if says:
        wire.far.send(says)
        stream.read(100)
    stream.sent_at -= after
    assert call.was_stale() is stale


class Wrapper:
    """A transport around another one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


@pytest.mark.parametrize("kind", [httpx2.HTTPTransport, httpx2.AsyncHTTPTransport])
def test_a_pool_is_found_under_other_transports(kind: Any) -> None:
    transport = kind()
    assert pool_under(transport) is transport._pool
    assert pool_under(Wrapper(Wrapper(transport))) is None, "what they wrap is not a transport"

    class Transport(Wrapper):
        handle_request = handle_async_request = None

    assert pool_under(Transport(Transport(transport))) is transport._pool


def test_idle_connections_are_dropped_under_the_lock_of_their_pool() -> None:
    held: list[bool] = []
    lock = threading.Lock()

    class Connection:
        def is_idle(self) -> bool:
            return True

        def close(self) -> None:
            held.append(lock.locked())

    pool = a_pool(_optional_thread_lock=lock)
    pool.connections = [Connection()]
    _track_pool(pool, lambda: None, blocking=True)
    assert held == [True]


def test_a_stream_that_takes_the_socket_over_is_the_one_that_is_ended(wire: Wire) -> None:
    """TLS makes a stream of its own over the one of the bare connection."""
    call, secured = tracker(), Wire()
    call.connected(wire)
    call.connected(secured)
    call.cut()
    assert (wire.is_cut, secured.is_cut) == (False, True)
    secured.close()
    secured.far.close()


@pytest.mark.parametrize(
    ("is_cut", "is_handed_on", "is_closed"),
    [(True, False, True), (True, True, False), (False, False, False)],
)
def test_a_connection_that_was_shut_down_is_closed_at_the_end_of_its_attempt(
    wire: Wire, is_cut: bool, is_handed_on: bool, is_closed: bool
) -> None:
    """httpcore may have been cancelled before it closed it."""

    class AsyncWire(Wire):
        def __init__(self) -> None:
            self.near, self.far = wire.near, wire.far

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            pass

        async def aclose(self) -> None:
            self.near.close()

    async def attempt() -> None:
        mine, other = tracker(blocking=False), tracker(blocking=False)
        caller = [mine]
        stream = AsyncStream(AsyncWire(), lambda: caller[0], 0.0)
        await stream.write(b"a request")
        if is_cut:
            mine.cut()
        if is_handed_on:
            caller[0] = other
            await stream.write(b"another request")
        await mine.close_rest()
        assert wire.is_closed is is_closed

    asyncio.run(attempt())


@pytest.mark.parametrize(("data", "heard"), [(b"x", True), (b"", False)], ids=["data", "its end"])
def test_a_connection_is_heard_from_once_it_has_given_data(data: bytes, heard: bool) -> None:
    class Given:
        def get_extra_info(self, info: str) -> None: ...

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            return data

    class AsyncGiven(Given):
        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # type: ignore[override]
            return data

    async def read() -> None:
        stream = AsyncStream(AsyncGiven(), lambda: tracker(blocking=False), 0.0)
        assert not stream.heard
        assert await stream.read(9) == data
        assert stream.heard is heard

    asyncio.run(read())
    stream = _SyncStream(Given(), tracker, 0.0)
    assert stream.read(9) == data
    assert stream.heard is heard


def test_a_call_begins_without_an_answer_and_takes_chunks_as_objects() -> None:
    for call in (tracker(), ConnectionTracker.begin(tracker().budget, blocking=True)):
        assert (call.answered, call.raw, call.is_done, call.is_over) == (False, False, False, False)
        assert call.budget.outer is None
    assert ConnectionTracker(tracker().budget, blocking=True, raw=True).raw


def inside(outer: ConnectionTracker) -> ConnectionTracker:
    """A call that begins within another one."""
    budget = Budget(Bounds(45), STILL)
    return outer.context().run(lambda: ConnectionTracker.begin(budget, blocking=True))


def test_a_call_within_another_is_ended_with_it(wire: Wire) -> None:
    outer = tracker()
    inner = inside(outer)
    assert inner.budget.outer is outer.budget
    inner.connected(wire)
    outer.cut(in_use=False)
    assert inner.is_over
    assert wire.is_closed


def test_requests_and_answers_of_a_call_within_another_count_for_both(wire: Wire) -> None:
    outer = tracker()
    inner = inside(outer)
    inner.sending(a_request())
    assert (inner.budget.host, outer.budget.host) == ("server:8000", "server:8000")
    assert (inner.answered, outer.answered) == (False, False)
    inner.receiving(a_response(wire))
    assert (inner.answered, outer.answered) == (True, True)
    inner.sending(a_request())
    assert (inner.answered, outer.answered) == (False, False)


def test_a_call_that_begins_within_one_that_is_over_is_not_ended_with_it(wire: Wire) -> None:
    outer = tracker()
    outer.cut()
    inner = inside(outer)
    assert inner.budget.outer is outer.budget
    inner.receiving(a_response(wire))
    outer.cut()
    assert not wire.is_cut
    assert not outer.answered


@pytest.mark.parametrize(
    ("now", "was_lifted", "is_cut", "is_over"),
    [
        (4.9, False, False, False),
        (5.0, False, False, True),
        (6.0, False, False, True),
        (6.0, True, False, False),
        (4.9, False, True, True),
        (6.0, True, True, True),
    ],
)
def test_a_call_is_over_once_it_is_cut_or_at_its_end_unless_that_was_postponed(
    now: float, was_lifted: bool, is_cut: bool, is_over: bool
) -> None:
    budget: Any = SimpleNamespace(
        clock=lambda: now, due=5.0, total_at=5.5, was_lifted=lambda: was_lifted
    )
    call = ConnectionTracker(budget, blocking=True)
    if is_cut:
        call.cut()
    assert call.is_over is is_over
    assert call.is_ended is (is_over and (is_cut or now > 5.0)), "a part may be forgiven"


def test_a_call_can_be_cut_while_the_socket_of_its_latest_request_is_known(wire: Wire) -> None:
    call = tracker()
    assert not call.can_cut
    bare = Wire()
    bare.get_extra_info = lambda name: None  # type: ignore[method-assign]
    call.connected(bare)
    assert not call.can_cut
    call.connected(wire)
    assert call.can_cut
    call.sending(a_request())
    assert not call.can_cut


def test_a_pause_lasts_as_long_as_it_says() -> None:
    began = time.monotonic()
    tracker().pause(0.05)
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_pause_ends_when_its_call_is_cut(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call, waits = tracker(), list[tuple[float | None, bool]]()

    class Pause(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            call.cut()
            waits.append((timeout, self.is_set()))
            return True

    monkeypatch.setattr(_connection, "threading", SimpleNamespace(Event=Pause))
    if when == "before":
        call.cut()
    call.pause(60)
    assert waits == ([] if when == "before" else [(60, True)])


def test_a_finished_call_hears_of_nothing_any_more() -> None:
    call, heard = tracker(), list[str]()
    call.on_progress, call.on_finish = lambda: heard.append("item"), lambda: heard.append("end")
    call.on_progress()
    call.finish()
    call.on_progress()
    call.on_finish()
    assert heard == ["item"]


def test_the_generators_that_an_attempt_leaves_are_closed_once_except_one_that_runs() -> None:
    closed: list[str] = []

    class Generator:
        def __init__(self, name: str, runs: bool) -> None:
            self.name, self.ag_running = name, runs

        async def aclose(self) -> None:
            closed.append(self.name)

    async def attempt() -> None:
        call = tracker(blocking=False)
        call.generators += [Generator("outer", False), Generator("busy", True)]
        call.generators += [Generator("inner", False)]
        await call.close_rest()
        await call.close_rest()

    asyncio.run(attempt())
    assert closed == ["outer", "inner"]


class Answer:
    """A response of httpx's, as far as a call keeps it."""

    def __init__(self, wire: Any, *, is_closed: bool = False) -> None:
        self.is_success, self.is_closed = True, is_closed
        self.extensions = {"network_stream": wire}


def test_only_the_connection_of_a_response_that_was_dropped_is_ended() -> None:
    dropped, held, waiting = Wire(), Wire(), Wire()
    call, other, response = tracker(), tracker(), Answer(held)
    call.receiving(response)
    call.sending(a_request())
    call.receiving(Answer(dropped))
    other.connected(waiting)
    call.end_dropped()
    other.end_dropped()
    assert [each.is_cut for each in (dropped, held, waiting)] == [True, False, False]
    assert not dropped.is_closed
    for each in (dropped, held, waiting):
        each.near.close()
        each.far.close()


def test_all_connections_of_a_call_that_are_open_are_ended() -> None:
    """A request for a token, say, comes before the one for the answer."""
    first, second = Wire(), Wire()
    call, responses = tracker(), [Answer(first), Answer(second)]
    for response in responses:
        call.sending(a_request())
        call.receiving(response)
    call.cut()
    assert (first.is_cut, second.is_cut) == (True, True)
    for each in (first, second):
        each.near.close()
        each.far.close()


def test_a_call_keeps_no_connection_whose_response_is_closed() -> None:
    class Thing:
        pass

    call, stream = tracker(), Thing()
    call.connected(stream)
    call.receiving(Answer(stream, is_closed=True))
    kept = ref(stream)
    call.sending(a_request())
    del stream
    assert kept() is None


def test_the_stream_that_wrote_the_request_is_the_one_that_is_ended(wire: Wire) -> None:
    """A response may show another layer of the same connection."""
    call, shown = tracker(), Wire()
    call.connected(wire)
    response = Answer(shown)
    call.receiving(response)
    call.cut()
    assert (wire.is_cut, shown.is_cut) == (True, False)
    shown.near.close()
    shown.far.close()


def test_a_part_bounds_what_comes_before_the_answer_and_not_its_reading() -> None:
    request = a_request()
    request.extensions["timeout"] = {}
    budget = Budget(Bounds(20, first_chunk_timeout=5), STILL)
    ConnectionTracker(budget, blocking=True).sending(request)
    bounds = request.extensions["timeout"]
    assert bounds["read"] == approximately(20.02)
    assert [bounds[phase] for phase in ("connect", "write", "pool")] == [approximately(5.02)] * 3


@pytest.mark.parametrize(
    ("netloc", "host"),
    [(b"server", "server"), (b"server:8000", "server:8000"), (b"", None), (b"s\xff", "s\ufffd")],
)
def test_the_host_of_a_request_has_its_port_and_may_be_unknown(
    netloc: bytes, host: str | None
) -> None:
    assert host_of(SimpleNamespace(url=SimpleNamespace(netloc=netloc))) == host


@pytest.mark.parametrize(
    "event",
    [
        "connection.connect_tcp.complete",
        "connection.start_tls.complete",
        "proxy.start_tls.complete",
    ],
)
def test_each_step_that_opens_a_connection_tells_the_call(event: str, wire: Wire) -> None:
    call, request = tracker(), a_request()
    call.sending(request)
    assert "trace" not in request.extensions
    call.sending(request, trace=True)
    request.extensions["trace"]("connection.close.complete", {"return_value": None})
    request.extensions["trace"](event, {"return_value": wire})
    call.cut()
    assert wire.is_cut


class Multiplexed:
    """A connection of HTTP/2, which keeps what is written."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.written: list[bytes] = []
        self._is_broken = is_broken

    def get_extra_info(self, name: str) -> Any:
        raise AssertionError("a shared connection is not to be shut down")

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._is_broken:
            raise OSError("it has ended")
        self.written.append(buffer)


OPENS: Any = ("http2.send_request_headers.started", {"stream_id": 5})


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("known", ["before", "after", "never"])
def test_an_http_2_request_is_reset_on_the_connection_it_uses(known: str, others: bool) -> None:
    stream, seen = Multiplexed(), list[str]()
    connected = ("connection.connect_tcp.complete", {"return_value": stream})
    events = {"before": [connected, OPENS], "after": [OPENS, connected], "never": [OPENS]}[known]

    async def note(event: str, details: dict[str, Any]) -> None:
        seen.append(event)

    async def attempt() -> None:
        call, request = tracker(blocking=False), a_request()
        if others:
            request.extensions["trace"] = note
        call.sending(request, trace=True)
        for event in events:
            await request.extensions["trace"](*event)
        call.cut()
        await call.reset_stream()

    asyncio.run(attempt())
    assert stream.written == ([] if known == "never" else [reset_frame(5)])
    assert seen == ([name for name, _ in events] if others else [])


def test_a_request_that_shares_no_connection_resets_none() -> None:
    async def attempt() -> None:
        call, stream = tracker(blocking=False), Multiplexed()
        await call.reset_stream()
        call.connected(stream)
        await call.reset_stream()
        assert stream.written == []

    asyncio.run(attempt())


def test_a_shared_connection_that_has_ended_is_no_error_and_none_for_the_next_request() -> None:
    async def attempt() -> None:
        call, stream = tracker(blocking=False), Multiplexed(is_broken=True)
        call.connected(stream)
        call.shares_connection(5)
        await call.reset_stream()
        stream._is_broken = False
        call.sending(a_request())
        await call.reset_stream()
        assert stream.written == []

    asyncio.run(attempt())


def test_a_response_that_cannot_be_referred_to_weakly_is_taken_for_held(wire: Wire) -> None:
    class Firm:
        __slots__ = ("extensions", "is_closed", "is_success")

        def __init__(self) -> None:
            self.is_success, self.is_closed = True, False
            self.extensions = {"network_stream": wire}

    call = tracker()
    call.receiving(Firm())
    call.end_dropped()
    assert not wire.is_cut
    call.cut()
    assert wire.is_cut
