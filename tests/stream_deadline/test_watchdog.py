"""The thread that acts at deadlines, and its end."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from stream_deadline import _clock
from stream_deadline._watchdog import _Watchdog
from tests.stream_deadline.no_threads import cannot_start


class Alarm:
    """One that is due now."""

    def __init__(self, ring: Callable[[], float | None]) -> None:
        self.set_for, self.ring = _clock.monotonic(), ring


def alarm(ring: Callable[[], float | None]) -> Any:
    return Alarm(ring)


def test_its_close_waits_for_an_alarm_that_goes_off() -> None:
    watchdog, rings, ended = _Watchdog(), threading.Event(), threading.Event()

    def ring() -> None:
        rings.set()
        time.sleep(0.2)
        ended.set()

    watchdog.add(alarm(ring))
    assert rings.wait(5)
    watchdog.close()
    assert ended.is_set()


def test_an_alarm_may_close_it_from_its_own_thread() -> None:
    watchdog, closed = _Watchdog(), threading.Event()

    def ring() -> None:
        watchdog.close()
        closed.set()

    watchdog.add(alarm(ring))
    assert closed.wait(5), "a thread cannot wait for itself"


def test_a_closed_one_takes_no_alarm() -> None:
    watchdog = _Watchdog()
    watchdog.close()
    watchdog.add(alarm(lambda: None))
    assert (watchdog._thread, watchdog._alarms) == (None, set())


def test_an_alarm_that_is_set_again_goes_off_again() -> None:
    watchdog, rung = _Watchdog(), [0]
    done = threading.Event()
    made = alarm(lambda: None)

    def ring() -> float | None:
        rung[0] += 1
        if rung[0] == 3:
            done.set()
            return None
        made.set_for = _clock.monotonic() + 0.01
        return float(made.set_for)

    made.ring = ring
    watchdog.add(made)
    assert done.wait(5)
    watchdog.close()
    assert (rung[0], watchdog._alarms) == (3, set())


def test_its_thread_keeps_no_process_alive_and_is_started_anew() -> None:
    watchdog, rung = _Watchdog(), threading.Semaphore(0)
    for _ in range(2):
        watchdog.add(alarm(lambda: rung.release()))
        thread = watchdog._thread
        assert thread is None or thread.daemon
        assert rung.acquire(timeout=20)
        if thread is not None:
            thread.join(20)
            assert not thread.is_alive()
    assert watchdog._thread is None


def test_an_interpreter_that_starts_no_threads_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    watchdog = _Watchdog()
    monkeypatch.setattr(threading.Thread, "start", cannot_start)
    watchdog.add(alarm(lambda: None))
    assert watchdog._thread is None
    monkeypatch.undo()
    watchdog.add(alarm(lambda: None))
    assert watchdog._thread is None, "it does not try again"
    watchdog.close()
