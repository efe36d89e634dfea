"""The contract of `bounded_sync` and its watchdog, in real time with wide bounds."""

import gc
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from stream_deadline import Deadline, StreamDeadlineExceeded, bounded_sync, deadline
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._shutdown import shut_down
from stream_deadline._watchdog import Alarm
from tests.stream_deadline.still_clock import Clock

LIMIT = 0.3
LATEST = 10.0  # wide: the question is whether it ends


def watchdogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "watchdog" in thread.name]


def watchdogs_that_stay() -> list[threading.Thread]:
    """Return those that do not end in the time that a busy machine may take."""
    until = time.monotonic() + LATEST
    while watchdogs() and time.monotonic() < until:
        time.sleep(0.01)
    return watchdogs()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not watchdogs_that_stay()


class ConnectionTracker:
    """Items from a socket: a read blocks until data or a shutdown comes."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            while data := self.near.recv(1):
                yield data
        finally:
            self.close()

    def interrupt(self) -> None:
        shut_down(self.near)

    def close(self) -> None:
        self.closed = True
        self.near.close()


def dribble(line: ConnectionTracker, every: float) -> None:
    def run() -> None:
        try:
            while True:
                line.far.send(b"x")
                time.sleep(every)
        except OSError:
            pass

    threading.Thread(target=run, daemon=True).start()


def test_a_finite_stream_comes_through_untouched() -> None:
    assert list(bounded_sync(range(1000), 45)) == list(range(1000))


@pytest.mark.parametrize("every", [0.02, 100.0], ids=["dribbles", "stalls"])
def test_a_blocked_thread_is_woken_at_the_deadline(every: float) -> None:
    line = ConnectionTracker()
    dribble(line, every)
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        for _ in bounded_sync(line, LIMIT, interrupt=line.interrupt):
            pass
    assert LIMIT <= time.monotonic() - started < LATEST
    assert caught.value.bound == "timeout"
    assert line.closed


def test_an_end_that_the_interrupt_made_is_not_taken_for_the_end_of_the_answer() -> None:
    """A socket that is shut down reads as if the peer had finished."""
    line = ConnectionTracker()
    with pytest.raises(StreamDeadlineExceeded):
        list(bounded_sync(line, LIMIT, interrupt=line.interrupt))


def test_an_error_that_the_interrupt_made_is_not_taken_for_the_servers() -> None:
    interrupted = threading.Event()

    def source() -> Iterator[int]:
        interrupted.wait(LATEST)
        raise ConnectionResetError
        yield 1

    with pytest.raises(StreamDeadlineExceeded) as caught:
        list(bounded_sync(source(), LIMIT, interrupt=interrupted.set))
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_a_consumer_that_does_not_pull_does_not_hold_the_source() -> None:
    line = ConnectionTracker()
    dribble(line, 0.01)
    stream = bounded_sync(line, LIMIT, interrupt=line.interrupt)
    next(stream)
    time.sleep(LIMIT + 0.2)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        line.far.sendall(b"x" * 10_000_000)
    with pytest.raises(StreamDeadlineExceeded):
        next(stream)


def test_the_clock_starts_with_the_call() -> None:
    line = ConnectionTracker()
    stream = bounded_sync(line, LIMIT, interrupt=line.interrupt)
    time.sleep(LIMIT)
    with pytest.raises(StreamDeadlineExceeded):
        next(stream)


def test_a_source_that_is_always_ready_ends_at_the_deadline_too() -> None:
    def ready() -> Iterator[int]:
        while True:
            yield 0

    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded):
        for _ in bounded_sync(ready(), LIMIT):
            pass
    assert LIMIT <= time.monotonic() - started < LATEST


def test_an_item_that_comes_after_the_deadline_is_not_handed_over() -> None:
    """The source cannot be interrupted, so the item is there, and too late."""

    def source() -> Iterator[int]:
        yield 1
        time.sleep(LIMIT + 0.05)
        yield 2

    stream, got = bounded_sync(source(), LIMIT), list[int]()
    with pytest.raises(StreamDeadlineExceeded):
        got.extend(stream)
    assert 2 not in got


def test_silence_has_a_bound_of_its_own() -> None:
    line = ConnectionTracker()
    line.far.send(b"abc")
    stream, started = (
        bounded_sync(line, 60, idle_timeout=LIMIT, interrupt=line.interrupt),
        time.monotonic(),
    )
    assert next(stream) == b"a"
    time.sleep(
        0.1
    )  # by now the watchdog sleeps until the end of the 60 s, and has to be told of a nearer bound
    with pytest.raises(StreamDeadlineExceeded) as caught:
        list(stream)
    assert LIMIT <= time.monotonic() - started < LATEST
    assert (caught.value.bound, caught.value.chunks) == ("idle_timeout", 3)


def test_the_first_item_has_a_bound_of_its_own() -> None:
    line = ConnectionTracker()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        list(bounded_sync(line, 60, first_chunk_timeout=LIMIT, interrupt=line.interrupt))
    assert caught.value.bound == "first_chunk_timeout"


def test_a_busy_consumer_does_not_count_as_silence_of_the_server() -> None:
    line = ConnectionTracker()
    line.far.send(b"abc")
    line.far.shutdown(socket.SHUT_WR)
    got = []
    for item in bounded_sync(line, 60, idle_timeout=0.8, interrupt=line.interrupt):
        got.append(item)
        time.sleep(1.0)
    assert len(got) == 3


def test_leaving_the_loop_closes_the_source_and_cancels_the_watchdogs_alarm() -> None:
    line = ConnectionTracker()
    dribble(line, 0.01)
    for _ in bounded_sync(line, 60, interrupt=line.interrupt):
        break
    gc.collect()
    assert line.closed


def test_an_error_of_the_source_comes_through() -> None:
    def fails() -> Iterator[int]:
        yield 1
        raise ConnectionResetError("the server is gone")

    stream = bounded_sync(fails(), 45)
    assert next(stream) == 1
    with pytest.raises(ConnectionResetError):
        next(stream)


def test_an_ambient_deadline_bounds_it() -> None:
    line = ConnectionTracker()
    with deadline(LIMIT), pytest.raises(StreamDeadlineExceeded) as caught:
        list(bounded_sync(line, interrupt=line.interrupt))
    assert caught.value.bound == "deadline"


def test_a_deadline_that_has_passed_ends_it_before_the_first_item() -> None:
    source = iter(range(3))
    with pytest.raises(StreamDeadlineExceeded):
        list(bounded_sync(source, Deadline.after(-1)))
    assert next(source) == 0


def test_one_thread_serves_many_streams() -> None:
    lines = [ConnectionTracker() for _ in range(20)]
    streams = [bounded_sync(line, 60, interrupt=line.interrupt) for line in lines]
    for line, stream in zip(lines, streams, strict=True):
        line.far.send(b"x")
        next(stream)
    assert len(watchdogs()) == 1
    for stream in streams:
        stream.close()


def test_each_of_many_streams_ends_at_its_own_time() -> None:
    limits = [0.1 + 0.05 * number for number in range(8)]
    took: dict[float, float] = {}

    def run(limit: float) -> None:
        line, started = ConnectionTracker(), time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            list(bounded_sync(line, limit, interrupt=line.interrupt))
        took[limit] = time.monotonic() - started

    threads = [threading.Thread(target=run, args=(limit,)) for limit in limits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(limit <= took[limit] < limit + LATEST for limit in limits)


def test_an_interrupt_that_fails_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails() -> None:
        raise ValueError("no")

    line = ConnectionTracker()
    first = bounded_sync(iter([1, 2, 3]), 0.1, interrupt=fails)
    next(first)
    with pytest.raises(StreamDeadlineExceeded):
        list(bounded_sync(line, LIMIT, interrupt=line.interrupt))
    assert "interrupt of a stream failed" in caplog.text
    with pytest.raises(StreamDeadlineExceeded):
        next(first)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "45"])
def test_a_bound_that_is_not_a_positive_number_of_seconds_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be"):
        bounded_sync([], value)


def test_a_fork_gets_a_watchdog_of_its_own_without_the_parents_connections() -> None:
    line = ConnectionTracker()
    stream = bounded_sync(line, 60, interrupt=line.interrupt)
    line.far.send(b"x")
    next(stream)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            other = ConnectionTracker()
            try:
                list(bounded_sync(other, 0.2, interrupt=other.interrupt))
            except StreamDeadlineExceeded:
                # One that still minds the parent's would shut them down under it, and lives on.
                status = len(watchdogs_that_stay())
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stream.close()


def test_a_deadline_that_is_lifted_while_the_thread_is_blocked_ends_nothing() -> None:
    line = ConnectionTracker()
    with deadline(LIMIT) as due:
        stream = bounded_sync(line, interrupt=line.interrupt)
    timer = threading.Timer(2 * LIMIT, line.far.send, [b"x"])
    timer.start()
    due.lift()
    assert next(stream) == b"x"
    stream.close()
    timer.join()


class TestFromAnotherThread:
    """What ends a pull that waits, in the thread where it waits."""

    def test_closing_it_ends_the_pull(self) -> None:
        line, ended = ConnectionTracker(), threading.Event()
        stream = bounded_sync(line, 60, interrupt=line.interrupt)

        def pull() -> None:
            with pytest.raises(StreamDeadlineExceeded):
                next(stream)
            ended.set()

        thread = threading.Thread(target=pull)
        thread.start()
        time.sleep(0.1)
        stream.close()
        assert ended.wait(LATEST)
        thread.join()
        assert line.closed

    def test_an_outer_stream_ends_the_inner_one(self) -> None:
        line = ConnectionTracker()
        inner = bounded_sync(line, 60, interrupt=line.interrupt)
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded) as caught:
            list(bounded_sync(inner, LIMIT))
        assert caught.value.limit == LIMIT
        assert time.monotonic() - started < LATEST

    def test_it_ends_calls_that_its_source_makes(self) -> None:
        def source() -> Iterator[bytes]:
            line = ConnectionTracker()
            yield from bounded_sync(line, 60, interrupt=line.interrupt)

        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded) as caught:
            list(bounded_sync(source(), first_chunk_timeout=LIMIT))
        assert caught.value.bound == "first_chunk_timeout"
        assert time.monotonic() - started < LATEST


def test_a_postponed_alarm_is_not_lost_when_a_bound_comes_nearer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The consumer comes back just when the watchdog has found that it is not waiting."""
    line = ConnectionTracker()
    stream = bounded_sync(line, idle_timeout=LIMIT, interrupt=line.interrupt)
    line.far.send(b"x")
    next(stream)
    alarm = stream._alarm
    ring = Alarm.ring

    def slowly(self: Alarm) -> float | None:
        again = ring(self)
        time.sleep(0.2)
        return again

    monkeypatch.setattr(Alarm, "ring", slowly)
    time.sleep(LIMIT + 0.1)  # the watchdog looks, and finds it busy elsewhere
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded):
        next(stream)
    assert time.monotonic() - started < LATEST
    assert alarm.fired()


def test_an_error_in_the_moment_of_the_deadline_is_the_deadline_s() -> None:
    clock = Clock()

    def source() -> Iterator[int]:
        clock.time += 5.0
        raise OSError
        yield 1

    stream = BoundedIterator(
        source(), Budget(Bounds(5.0), clock), NullAccumulator(), lambda in_use: None
    )
    with pytest.raises(StreamDeadlineExceeded):
        next(stream)
