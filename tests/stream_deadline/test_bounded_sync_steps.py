"""Synchronous streams on a clock that only their source moves."""

import contextvars
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stream_deadline import (
    AnswerCutShort,
    Deadline,
    StreamDeadlineExceeded,
    _watchdog,
    bounded_sync,
)
from stream_deadline._accumulate import NullAccumulator
from stream_deadline._bounded_sync import BoundedIterator
from stream_deadline._budget import Bounds, Budget
from tests.stream_deadline.still_clock import Clock
from tests.stream_deadline.words import Words


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

    def test_the_alarm_is_set_for_the_silence_of_each_pull(self) -> None:
        set_for: list[float] = []

        def source() -> Iterator[int]:
            for item in (0, 2):
                set_for.append(stream._alarm.set_for - self.clock.time)
                yield item

        stream = self.playing(Bounds(100, None, 5), source())
        for _ in range(2):
            next(stream)
            self.clock.time += 1
        assert set_for == [100, 5]
        stream.close()

    def test_a_stream_that_was_cut_is_over_though_its_deadline_is_lifted_later(self) -> None:
        due = Deadline(self.clock.time + 5, 5)
        stream, source = self.stream(Bounds(20), (0, 0), (0, 2), until=due)
        assert next(stream) == 0
        stream._alarm._fired = True  # as the watchdog does at the deadline
        due.lift()
        with pytest.raises(StreamDeadlineExceeded):
            next(stream)
        assert len(source._steps) == 1

    def test_a_close_while_a_pull_waits_ends_the_pull(self) -> None:
        def source() -> Iterator[int]:
            stream.close()  # as another thread does
            assert self.cut, "in use"
            yield 0

        stream = self.playing(Bounds(100), source())
        with pytest.raises(StreamDeadlineExceeded) as caught:
            next(stream)
        assert caught.value.bound == "caller"

    def test_a_stream_that_is_dropped_before_its_first_pull_closes_its_source(self) -> None:
        stream, source = self.stream(Bounds(5), (0, 0))
        del stream
        gc.collect()
        assert source.log == ["source"]

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
