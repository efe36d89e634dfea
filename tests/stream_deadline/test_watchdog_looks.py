"""When the watchdog looks at an alarm, and what the alarm does then."""

import math
import threading
import weakref
from collections.abc import Callable
from typing import cast

import pytest

from stream_deadline import Deadline, Expiry, _clock, _watchdog, on_expired, remove_hook
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import CallGroup
from stream_deadline._watchdog import Alarm, _Watchdog
from tests.stream_deadline.no_threads import cannot_start
from tests.stream_deadline.still_clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in the place of the process's own."""
    clock = Clock()
    monkeypatch.setattr(_clock, "monotonic", clock)
    return clock


class Kept:
    """A watchdog that never looks at the alarms it is given."""

    def __init__(self) -> None:
        self.added: list[tuple[Alarm, float]] = []
        self.removed: list[Alarm] = []

    def add(self, alarm: Alarm) -> None:
        self.added.append((alarm, alarm.set_for))

    def remove(self, alarm: Alarm) -> None:
        self.removed.append(alarm)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A watchdog in the place of the process's own."""
    kept = Kept()
    monkeypatch.setattr(_watchdog, "_watchdog", kept)
    return kept


class TestAlarm:
    """What an alarm does when the watchdog looks at it."""

    def test_it_is_set_for_the_first_bound_and_the_time_that_the_call_has_for_itself(
        self, clock: Clock, kept: Kept
    ) -> None:
        alarm = Alarm(Budget(Bounds(45, 10), clock), interrupt_of([]), after=0.5)
        assert alarm.set_for == 1010.5
        assert kept.added == [(alarm, 1010.5)]
        assert (alarm.fired(), alarm.waiting) == (False, False)

    def test_without_a_bound_no_watchdog_looks_at_it(self, clock: Clock, kept: Kept) -> None:
        alarm = Alarm(Budget(Bounds(), clock), interrupt_of([]))
        assert (alarm.set_for, kept.added) == (math.inf, [])

    @pytest.mark.parametrize("waiting", [True, False])
    def test_it_goes_off_once_and_in_the_very_moment(
        self, clock: Clock, kept: Kept, waiting: bool
    ) -> None:
        cut: list[bool] = []
        alarm = Alarm(Budget(Bounds(45), clock), cut.append, after=0.5)
        alarm.waiting = waiting
        clock.time = 1045.4
        assert alarm.ring() == 1045.5
        assert (cut, alarm.fired()) == ([], False)
        clock.time = 1045.5
        assert alarm.ring() is None
        assert alarm.ring() is None
        assert (cut, alarm.fired()) == ([waiting], True)

    def test_silence_counts_only_while_the_call_waits(self, clock: Clock, kept: Kept) -> None:
        cut: list[bool] = []
        alarm = Alarm(Budget(Bounds(45, 10), clock), cut.append)
        clock.time = 1010
        assert alarm.ring() == 1045
        assert alarm.set_for == 1045
        alarm.waiting = True
        assert alarm.ring() is None
        assert cut == [True]

    def test_a_silence_that_is_noticed_late_is_postponed_once(
        self, clock: Clock, kept: Kept
    ) -> None:
        cut: list[bool] = []
        alarm = Alarm(Budget(Bounds(45, 10), clock), cut.append)
        alarm.waiting = True
        clock.time = 1010.2
        assert alarm.ring() == pytest.approx(1010.21, abs=1e-6)
        assert alarm.set_for == pytest.approx(1010.21, abs=1e-6)
        clock.time = 1010.7
        assert alarm.ring() is None
        assert cut == [True]

    def test_a_deadline_that_was_lifted_does_not_set_it_off(self, clock: Clock, kept: Kept) -> None:
        cut: list[bool] = []
        due = Deadline(1010, 10)
        alarm = Alarm(Budget(Bounds(45), clock, due), cut.append)
        due.lift()
        clock.time = 1011
        assert alarm.ring() == 1045
        clock.time = 1045
        assert alarm.ring() is None
        assert cut == [False]

    def test_it_does_not_go_off_after_its_call(self, clock: Clock, kept: Kept) -> None:
        cut: list[bool] = []
        alarm = Alarm(Budget(Bounds(45), clock), cut.append)
        alarm.cancel()
        alarm.cancel()
        clock.time = 1050
        assert alarm.ring() is None
        assert (cut, alarm.fired()) == ([], False)
        assert kept.removed == [alarm]

    def test_it_is_set_again_only_for_a_nearer_bound(self, clock: Clock, kept: Kept) -> None:
        budget = Budget(Bounds(45, None, 2), clock)
        alarm = Alarm(budget, interrupt_of([]))
        alarm.waiting = True
        budget.note_progress()
        alarm.look()
        assert alarm.set_for == 1002
        clock.time = 1001
        budget.note_progress()
        alarm.look()
        assert alarm.set_for == 1002, "the watchdog looks then, and finds the new one"
        assert [when for _, when in kept.added] == [1045, 1002]

    def test_a_client_that_leaves_sets_it_off_at_once(
        self, clock: Clock, kept: Kept, reported: list[Expiry]
    ) -> None:
        cut: list[bool] = []
        alarm = Alarm(Budget(Bounds(45), clock), cut.append)
        alarm.waiting = True
        alarm.revoke()
        assert cut == [True]
        assert not reported, "the call that waits reports it"

    def test_it_is_in_the_group_of_its_call_until_the_end(self, clock: Clock, kept: Kept) -> None:
        cut: list[bool] = []
        with CallGroup() as group:
            alarm = Alarm(Budget(Bounds(45), clock), cut.append)
            unbounded = Alarm(Budget(Bounds(), clock), cut.append)
            assert group._ends == {alarm.revoke, unbounded.revoke}
            alarm.cancel()
            assert group._ends == {unbounded.revoke}
            Alarm(Budget(Bounds(45), clock), cut.append, alone=True).cancel()
            assert group._ends == {unbounded.revoke}, "its call is a member itself"
            unbounded.cancel()
        assert not group.has_calls

    @pytest.mark.parametrize(
        ("waiting", "alone", "reports"),
        [(False, False, True), (True, False, False), (False, True, False), (True, True, False)],
    )
    def test_it_reports_a_call_that_may_never_look(
        self, clock: Clock, kept: Kept, monkeypatch: pytest.MonkeyPatch,
        waiting: bool, alone: bool, reports: bool,
    ) -> None:  # fmt: skip
        budget, background = Budget(Bounds(45), clock), list[Callable[[], None]]()
        monkeypatch.setattr(_watchdog, "_in_background", background.append)
        alarm = Alarm(budget, interrupt_of([]), alone=alone)
        alarm.waiting = waiting
        clock.time = 1045
        alarm.ring()
        assert background == ([budget.report] if reports else [])

    def test_its_report_runs_in_a_thread_that_keeps_no_process_alive(
        self, clock: Clock, kept: Kept
    ) -> None:
        threads: list[threading.Thread] = []

        def hook(expiry: Expiry) -> None:
            threads.append(threading.current_thread())

        on_expired(hook)
        try:
            alarm = Alarm(Budget(Bounds(45), clock), interrupt_of([]))
            clock.time = 1045
            alarm.ring()
            for thread in threading.enumerate():
                if thread.name == "stream-deadline expiry":
                    thread.join()
        finally:
            remove_hook(hook)
        assert threads[0] is not threading.current_thread()
        assert threads[0].daemon

    def test_a_report_without_a_thread_is_logged(
        self,
        clock: Clock,
        kept: Kept,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        alarm = Alarm(Budget(Bounds(45), clock), interrupt_of([]))
        monkeypatch.setattr(threading.Thread, "start", cannot_start)
        clock.time = 1045
        alarm.ring()
        [record] = caplog.records
        assert (record.name, record.levelname) == ("stream_deadline", "ERROR")
        assert "could not be reported" in record.getMessage()

    def test_an_interrupt_that_fails_is_logged_and_has_gone_off(
        self, clock: Clock, kept: Kept, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(in_use: bool) -> None:
            raise KeyError

        alarm = Alarm(Budget(Bounds(45), clock), fail)
        alarm.waiting = True
        clock.time = 1045
        assert alarm.ring() is None
        assert alarm.fired()
        assert "its connection stays open" in caplog.text


def interrupt_of(cut: list[bool]) -> Callable[[bool], None]:
    """Make an interrupt that notes whether the connection was in use."""
    return cut.append


class Condition:
    """A condition for one thread: a wait lets time pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.waits: list[float] = []
        self.notified = 0
        self.at_wait: Callable[[], None] = lambda: None

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify_all(self) -> None:
        self.notified += 1

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        assert len(self.waits) < 1000, "it looks for ever"
        self._clock.time += seconds
        self.at_wait()


class Noted:
    """An alarm that notes when it rings, and then rings again at given times."""

    def __init__(self, clock: Clock, at: float, *again: float) -> None:
        self.set_for, self._clock, self._again = at, clock, list(again)
        self.rang: list[float] = []

    def ring(self) -> float | None:
        self.rang.append(self._clock.time)
        if not self._again:
            return None
        self.set_for = self._again.pop(0)
        return self.set_for


class Dog:
    """A watchdog in the thread of the test, whose sleep moves the clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.watchdog = _Watchdog()
        self.condition = Condition(clock)
        self.watchdog._changed = cast("threading.Condition", self.condition)
        self.watchdog._thread = threading.current_thread()

    def noted(self, at: float, *again: float) -> Noted:
        noted = Noted(self.clock, at, *again)
        self.add(noted)
        return noted

    def add(self, noted: Noted) -> None:
        self.watchdog.add(cast("Alarm", noted))

    def remove(self, noted: Noted) -> None:
        self.watchdog.remove(cast("Alarm", noted))

    def run(self) -> None:
        self.watchdog._run()


@pytest.fixture
def dog(clock: Clock) -> Dog:
    """A watchdog that a test runs itself."""
    return Dog(clock)


class TestItsThread:
    """When the watchdog's thread looks, sleeps and ends."""

    def test_each_alarm_is_looked_at_in_its_moment(self, dog: Dog) -> None:
        later, sooner, same = dog.noted(1003.1), dog.noted(1001.3), dog.noted(1003.1)
        dog.run()
        assert sooner.rang == [pytest.approx(1001.3, abs=1e-6)]
        assert later.rang == same.rang == [pytest.approx(1003.1, abs=1e-6)]
        assert dog.watchdog._thread is None

    def test_an_alarm_may_ring_again(self, dog: Dog) -> None:
        noted = dog.noted(1001.0, 1002.5, 1002.75)
        dog.run()
        assert noted.rang == [1001.0, 1002.5, 1002.75]

    def test_a_new_alarm_that_rings_at_once_needs_no_sleep(self, dog: Dog) -> None:
        noted = dog.noted(1000.0)
        dog.run()
        assert (noted.rang, dog.condition.waits) == ([1000.0], [])

    def test_it_sleeps_for_a_quarter_of_a_second_at_most(self, dog: Dog) -> None:
        dog.noted(1000.625)
        dog.run()
        assert dog.condition.waits == [0.25, 0.25, 0.125]

    def test_it_ends_after_its_sleep_when_no_call_is_left(self, dog: Dog) -> None:
        noted = dog.noted(1100.0)
        dog.condition.at_wait = lambda: dog.remove(noted)
        dog.run()
        assert (dog.condition.waits, noted.rang) == ([0.25], [])
        assert (dog.watchdog._thread, dog.watchdog._queue) == (None, [])

    def test_a_call_that_has_ended_while_another_lasts_is_left_alone(self, dog: Dog) -> None:
        noted = dog.noted(1001.0, 1002.0)
        lasting = dog.noted(1003.0)
        ring = noted.ring

        def end() -> float | None:
            again = ring()
            dog.remove(noted)
            return again

        noted.ring = end  # type: ignore[method-assign]
        dog.run()
        assert (noted.rang, lasting.rang) == ([1001.0], [1003.0])

    def test_an_alarm_that_is_set_anew_is_looked_at_only_then(self, dog: Dog) -> None:
        noted = dog.noted(1005.0)
        noted.set_for = 1002.0
        dog.add(noted)
        last = dog.noted(1006.0)
        dog.run()
        assert (noted.rang, last.rang) == ([1002.0], [1006.0])

    def test_it_ends_when_it_is_closed(self, dog: Dog) -> None:
        noted = dog.noted(1005.0)
        dog.condition.at_wait = dog.watchdog.close
        dog.run()
        assert (noted.rang, dog.condition.waits) == ([], [0.25])

    def test_a_close_wakes_it(self, dog: Dog) -> None:
        dog.noted(1005.0)
        before = dog.condition.notified
        dog.watchdog.close()
        assert dog.condition.notified == before + 1

    @pytest.mark.parametrize(("at", "wakes"), [(1000.1, True), (1000.25, False), (1003.0, False)])
    def test_it_is_woken_only_for_an_alarm_before_its_next_look(
        self, dog: Dog, at: float, wakes: bool
    ) -> None:
        dog.noted(1005.0)
        found: list[int] = []

        def add() -> None:
            dog.condition.at_wait = dog.watchdog.close
            dog.clock.time = 1000.0
            before = dog.condition.notified
            dog.noted(at)
            found.append(dog.condition.notified - before)

        dog.condition.at_wait = add
        dog.run()
        assert found == [int(wakes)]

    def test_a_jump_of_the_clock_wakes_it(self, dog: Dog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_clock, "is_virtual", True)
        monkeypatch.setattr(_clock, "_jumps", {})
        dog.noted(1005.0)
        before = dog.condition.notified
        _clock.jumped()
        assert dog.condition.notified == before + 1

    def test_it_does_not_keep_many_calls_that_have_ended(self, dog: Dog) -> None:
        first, third, second = dog.noted(1001.0), dog.noted(1005.0), dog.noted(1002.0)
        others = [dog.noted(1900.0) for _ in range(30)]
        gone = weakref.ref(others[-1])
        dog.remove(first)
        while others:
            dog.remove(others.pop())
        assert gone() is None
        dog.run()
        assert (first.rang, second.rang, third.rang) == ([], [1002.0], [1005.0])
