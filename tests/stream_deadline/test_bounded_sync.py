"""The contract of `bounded_sync` and its watchdog, in real time with wide bounds."""

import contextvars
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from stream_deadline import (
    AnswerCutShort,
    Deadline,
    StreamDeadlineExceeded,
    _watchdog,
    bounded_sync,
    deadline,
)
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._budget import Bounds, Budget
from stream_deadline._shutdown import shut_down
from stream_deadline._watchdog import Alarm
from tests.stream_deadline.test_budget import Clock

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


class Words:
    """An accumulator for numbers, of which only even ones say something."""

    errors_of_halves: ClassVar[tuple[type[Exception], ...]] = (ValueError,)

    def __init__(self, whole: bool = True) -> None:
        self.whole = whole
        self.added: list[int] = []

    def add(self, item: int) -> bool:
        self.added.append(item)
        return item % 2 == 0

    def partial(self) -> list[int]:
        return self.added


class Steps:
    """A source that lets time pass before each item, or before its end or error.

    Attributes:
        log: what was closed, and in which order.
    """

    def __init__(self, clock: Clock, *steps: tuple[float, int | Exception]) -> None:
        self._clock, self._steps = clock, list(steps)
        self.log: list[str] = []

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if not self._steps:
            raise StopIteration
        wait, item = self._steps.pop(0)
        self._clock.time += wait
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.log.append("source")


END: Any = StopIteration()


class TestOnAClockOfItsOwn:
    """A stream whose clock moves only when its source says so, and no watchdog looks."""

    @pytest.fixture(autouse=True)
    def _nothing_watches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("add", "remove"):
            monkeypatch.setattr(_watchdog._Watchdog, name, lambda self, alarm: None)
        self.clock = Clock()

    def stream(
        self,
        bounds: Bounds,
        *steps: tuple[float, Any],
        accumulator: Words | None = None,
        until: Deadline | None = None,
        ended: Callable[[], None] | None = None,
    ) -> tuple[BoundedIterator[int], Steps]:
        source, budget = Steps(self.clock, *steps), Budget(bounds, self.clock, until)
        words = accumulator or Words()
        return BoundedIterator(source, budget, words, self.note, None, ended), source

    def note(self, in_use: bool) -> None:
        self.cut = in_use

    @pytest.mark.parametrize("timeout", [4.5, 5.0])
    def test_an_item_in_the_moment_of_the_end_or_later_is_not_handed_over(
        self, timeout: float
    ) -> None:
        stream, source = self.stream(Bounds(timeout), (2, 0), (3, 2), (1, 4))
        assert next(stream) == 0
        with pytest.raises(StreamDeadlineExceeded) as caught:
            next(stream)
        assert (caught.value.bound, caught.value.chunks) == ("timeout", 1)
        assert (caught.value.elapsed, caught.value.partial) == (5, [0])
        assert source.log == ["source"]
        assert next(stream, None) is None

    def test_a_source_is_not_asked_at_the_end(self) -> None:
        stream, source = self.stream(Bounds(5), (2, 0), (1, 2))
        assert next(stream) == 0
        self.clock.time += 3
        with pytest.raises(StreamDeadlineExceeded):
            next(stream)
        assert len(source._steps) == 1

    @pytest.mark.parametrize("moved", ["before the pull", "in the pull"])
    def test_a_deadline_that_was_lifted_ends_nothing(self, moved: str) -> None:
        due = Deadline(self.clock.time + 5, 5)
        stream, _ = self.stream(Bounds(20), (2, 0), (4, 2), (15, 4), until=due)
        assert next(stream) == 0
        due.lift()
        self.clock.time += 4 if moved == "before the pull" else 0
        assert next(stream) == 2
        with pytest.raises(StreamDeadlineExceeded) as caught:
            next(stream)
        assert caught.value.limit == 20

    @pytest.mark.parametrize(("wait", "bound"), [(4.9, None), (5, "timeout")])
    def test_an_error_in_the_moment_of_a_bound_is_the_bound_s(
        self, wait: float, bound: str | None
    ) -> None:
        error = KeyError()
        stream, source = self.stream(Bounds(5), (0, 0), (wait, error))
        assert next(stream) == 0
        with pytest.raises((StreamDeadlineExceeded, KeyError)) as caught:
            next(stream)
        if bound is None:
            assert caught.value is error
        else:
            assert isinstance(caught.value, StreamDeadlineExceeded)
            assert (caught.value.bound, caught.value.chunks) == (bound, 1)
            assert caught.value.partial == [0]
            assert caught.value.__cause__ is error
        assert source.log == ["source"]

    def playing(self, bounds: Bounds, source: Iterator[int]) -> BoundedIterator[int]:
        return BoundedIterator(source, Budget(bounds, self.clock), Words(), self.note)

    @pytest.mark.parametrize("why", ["found below", "its alarm"])
    def test_an_error_after_the_end_was_found_is_the_bound_s(self, why: str) -> None:
        error = KeyError()

        def source() -> Iterator[int]:
            yield 0
            if why == "found below":
                stream._budget.ended_below = True
            else:
                stream._alarm._fired = True  # as the watchdog does while the pull waits
            raise error

        stream = self.playing(Bounds(5), source())
        assert next(stream) == 0
        with pytest.raises(StreamDeadlineExceeded) as caught:
            next(stream)
        assert caught.value.__cause__ is error

    def test_an_end_after_the_interrupt_is_not_the_end_of_the_answer(self) -> None:
        def source() -> Iterator[int]:
            yield 0
            stream._alarm._fired = True  # as the watchdog does while the pull waits

        stream = self.playing(Bounds(5), source())
        assert next(stream) == 0
        with pytest.raises(StreamDeadlineExceeded):
            next(stream)

    @pytest.mark.parametrize("whole", [True, False])
    @pytest.mark.parametrize("error", [ValueError(), KeyError()], ids=["of a half", "another"])
    def test_an_error_of_half_an_answer_is_an_answer_cut_short(
        self, whole: bool, error: Exception
    ) -> None:
        stream, _ = self.stream(Bounds(5), (0, 0), (1, error), accumulator=Words(whole))
        assert next(stream) == 0
        with pytest.raises(Exception) as caught:  # noqa: PT011
            next(stream)
        if isinstance(error, ValueError) and not whole:
            assert isinstance(caught.value, AnswerCutShort)
            assert (caught.value.chunks, caught.value.partial) == (1, [0])
            assert caught.value.__cause__ is error
        else:
            assert caught.value is error

    @pytest.mark.parametrize("whole", [True, False])
    def test_an_end_without_a_finish_is_an_answer_cut_short(self, whole: bool) -> None:
        stream, source = self.stream(Bounds(5), (0, 0), (1, 3), accumulator=Words(whole))
        assert [next(stream), next(stream)] == [0, 3]
        if whole:
            assert next(stream, None) is None
        else:
            with pytest.raises(AnswerCutShort) as caught:
                next(stream)
            assert (caught.value.chunks, caught.value.partial) == (2, [0, 3])
        assert source.log == ["source"]

    def test_silence_counts_from_the_pull_after_an_item_that_says_something(self) -> None:
        stream, _ = self.stream(
            Bounds(100, None, 5), (20, 0), (4.9, 1), (0.2, KeyError("in the silence"))
        )
        assert next(stream) == 0
        self.clock.time += 30  # the consumer is busy
        assert next(stream) == 1
        self.clock.time += 30
        with pytest.raises(StreamDeadlineExceeded) as caught:
            next(stream)
        assert (caught.value.bound, caught.value.chunks) == ("idle_timeout", 2)

    def test_a_busy_consumer_is_not_the_silence_of_the_server(self) -> None:
        stream, _ = self.stream(Bounds(100, None, 5), (20, 0), (4.9, 2), (4.9, 4), (0, KeyError()))
        for item in (0, 2, 4):
            assert next(stream) == item
            self.clock.time += 10
        with pytest.raises(KeyError):
            next(stream)

    def test_the_time_before_the_first_pull_is_not_the_silence_of_the_server(self) -> None:
        stream, _ = self.stream(Bounds(100, 5), (4, 0), (50, 2))
        self.clock.time += 10
        assert [next(stream), next(stream)] == [0, 2]

    def test_progress_without_an_item_starts_a_new_silence(self) -> None:
        def source() -> Iterator[int]:
            self.clock.time += 1
            stream.note_progress()
            assert stream._alarm.set_for == self.clock.time + 5
            self.clock.time += 5
            raise KeyError
            yield 0

        stream = self.playing(Bounds(100, 50, 5), source())
        assert stream._alarm.set_for == self.clock.time + 50
        with pytest.raises(StreamDeadlineExceeded) as caught:
            next(stream)
        assert (caught.value.bound, caught.value.chunks) == ("idle_timeout", 0)

    def test_progress_is_nothing_to_a_call_without_a_bound_of_silence(self) -> None:
        stream, _ = self.stream(Bounds(100), (0, 0))
        due = stream._budget.due
        stream.note_progress()
        assert (stream._budget.due, next(stream)) == (due, 0)

    def test_the_stream_is_cut_in_use_only_while_a_pull_waits(self) -> None:
        found: list[bool] = []

        def source() -> Iterator[int]:
            while True:
                found.append(stream._alarm.waiting)
                yield 0

        budget = Budget(Bounds(5), self.clock)
        stream = BoundedIterator(source(), budget, Words(), self.note)
        assert not stream._alarm.waiting
        next(stream)
        assert (found, stream._alarm.waiting) == ([True], False)
        stream.close()

    @pytest.mark.parametrize("end", ["the end", "an error", "a close", "a close at the start"])
    def test_its_end_closes_the_source_calls_off_the_alarm_and_is_noted_once(
        self, end: str
    ) -> None:
        ends: list[int] = []
        last = KeyError() if end == "an error" else END
        stream, source = self.stream(Bounds(5), (0, 0), (0, last), ended=lambda: ends.append(1))
        if end != "a close at the start":
            assert next(stream) == 0
        if end == "an error":
            with pytest.raises(KeyError):
                next(stream)
        elif end == "the end":
            assert next(stream, None) is None
        stream.close()
        stream.close()
        assert stream._alarm._over
        assert source.log[:1] == ["source"]
        assert ends == ([] if end == "a close at the start" else [1])

    def test_a_stream_and_its_iterator_are_closed_if_they_are_two(self) -> None:
        clock, log = self.clock, list[str]()

        class Inner(Steps):
            def close(self) -> None:
                log.append("iterator")

        class Outer:
            def __iter__(self) -> Iterator[int]:
                return Inner(clock, (0, 0))

            def close(self) -> None:
                log.append("stream")

        stream = BoundedIterator(Outer(), Budget(Bounds(5), clock), Words(), self.note)
        with stream:
            assert next(stream) == 0
        assert log == ["iterator", "stream"]

    def test_a_source_needs_no_close(self) -> None:
        stream = BoundedIterator([2, 4], Budget(Bounds(5), self.clock), Words(), self.note)
        assert list(stream) == [2, 4]

    def test_the_source_has_the_context_of_its_call(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

        def source() -> Iterator[str]:
            yield variable.get()
            variable.set("changed")
            yield variable.get()

        own = contextvars.copy_context()
        own.run(variable.set, "own")
        for context, first in ((own, "own"), (None, "caller's")):
            token = variable.set("caller's")
            budget = Budget(Bounds(5), self.clock)
            stream = BoundedIterator(source(), budget, NullAccumulator(), self.note, context)
            variable.reset(token)
            assert list(stream) == [first, "changed"]
            assert variable.get() == "none"

    def test_a_pull_after_the_interrupt_asks_nothing_of_the_source(self) -> None:
        stream, source = self.stream(Bounds(5), (0, 0), (0, 2))
        assert next(stream) == 0
        stream.interrupt()
        assert self.cut is False
        with pytest.raises(StreamDeadlineExceeded) as caught:
            next(stream)
        assert caught.value.bound == "caller"
        assert len(source._steps) == 1


def test_a_bounded_iterable_has_all_three_bounds_and_the_ambient_one() -> None:
    nothing: list[int] = []
    with bounded_sync(nothing, 40, first_chunk_timeout=10, idle_timeout=5) as stream:
        assert stream._budget._bounds == Bounds(40, 10, 5)
    until = Deadline.after(20)
    with bounded_sync(nothing, until, idle_timeout=5) as stream:
        assert stream._budget._bounds == Bounds(None, None, 5)
        assert stream._budget.total_at == until.at
