"""The one clock of all streams."""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fake_vllm.engine.pacer import Alarm, Pacer


class Handle:
    """A call that a loop will make."""

    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at, self.call, self.is_cancelled = at, call, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """An event loop whose time a test sets.

    Attributes:
        now: its time in seconds.
        handles: the calls that it has been given; a cancelled one, and one that was made, goes.
        errors: what it was given to report.
        calls: how many calls it has made.
    """

    def __init__(self) -> None:
        self.now, self.calls = 5.0, 0
        self.handles: list[Handle] = []
        self.errors: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> Handle:
        self.handles.append(Handle(when, call))
        return self.handles[-1]

    def call_soon(self, call: Callable[[], object]) -> Handle:
        return self.call_at(self.now, call)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def run(self, until: float, turns: int = 100) -> None:
        """Make the calls that are due until then, each at its time."""
        for _ in range(turns):
            waiting = [each for each in self.handles if not each.is_cancelled and each.at <= until]
            if not waiting:
                break
            handle = min(waiting, key=lambda each: each.at)
            self.handles.remove(handle)
            self.now = max(self.now, handle.at)
            self.calls += 1
            handle.call()
        else:
            raise AssertionError("The clock turns without end.")
        self.now = max(self.now, until)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop  # type: ignore[return-value]


class Stream:
    """Turns that are due at given times.

    Attributes:
        alarm: its place on the clock.
        turns: the loop's times when its turn was called.
        nows: what the clock said in each.
    """

    def __init__(self, loop: Loop, *dues: float, also: Callable[[], None] | None = None) -> None:
        self.alarm = Alarm(self._turn)
        self.turns: list[float] = []
        self.nows: list[float] = []
        self._loop, self._dues, self._also = loop, list(dues), also

    def _turn(self, now: float) -> float:
        self.turns.append(self._loop.now)
        self.nows.append(now)
        if self._also is not None:
            self._also()
        return max(now, self._dues.pop(0)) if self._dues else math.inf  # as players do


def test_each_turn_is_called_at_its_time_to_the_nearest_millisecond(loop: Loop) -> None:
    pacer, stream = Pacer(), Stream(loop, 5.0104, 5.0206, 5.0296, 7.0)
    pacer.wake(stream.alarm)
    loop.run(5.5)
    assert stream.turns == pytest.approx([5.0, 5.010, 5.021, 5.030])
    # The end of the millisecond, so that all that is rounded to it is due.
    assert stream.nows == pytest.approx([each + 0.000501 for each in stream.turns], abs=1e-9)
    loop.run(9)
    assert stream.turns[-1] == 7.0
    assert (len(stream.turns), loop.handles) == (5, [])


def test_the_loop_sleeps_until_the_next_turn(loop: Loop) -> None:
    loop.now = 5000.0
    pacer, stream = Pacer(), Stream(loop, 5001.0)
    pacer.wake(stream.alarm)
    loop.run(5002.0)
    assert (stream.turns, loop.calls) == ([5000.0, 5001.0], 2)


def test_streams_of_one_millisecond_share_a_call_of_the_loop(loop: Loop) -> None:
    pacer = Pacer()
    streams = [Stream(loop, 5.01 + number / 100_000, 5.02) for number in range(4)]
    for stream in streams:
        pacer.wake(stream.alarm)
    loop.run(6)
    assert loop.calls == 3
    assert all(each.turns == pytest.approx([5.0, 5.01, 5.02]) for each in streams)


def test_late_turns_are_called_at_once_and_in_order(loop: Loop) -> None:
    order: list[str] = []
    pacer = Pacer()
    for name, due in (("c", 5.3), ("a", 5.1), ("b", 5.2)):
        pacer.wake(Stream(loop, due, also=lambda name=name: order.append(name)).alarm)  # type: ignore[misc]
    loop.run(5.0)
    order.clear()
    loop.now = 6.0
    loop.run(6.0)
    assert (order, loop.calls) == (["a", "b", "c"], 2)


def test_an_earlier_turn_takes_the_place_of_the_timer(loop: Loop) -> None:
    pacer, late, early = Pacer(), Stream(loop, 8.0), Stream(loop, 6.0)
    pacer.wake(late.alarm)
    loop.run(5.1)
    pacer.wake(early.alarm)
    pacer.wake(Stream(loop).alarm)  # due as soon as that one, so the timer stays
    assert len([each for each in loop.handles if not each.is_cancelled]) == 1
    loop.run(9)
    assert (late.turns, early.turns) == ([5.0, 8.0], [5.1, 6.0])


@pytest.mark.parametrize("also_later", [True, False])
def test_a_stream_that_is_woken_is_called_now_and_not_at_its_old_time(
    also_later: bool, loop: Loop
) -> None:
    pacer, stream = Pacer(), Stream(loop, 6.0, 7.0)
    beside = Stream(loop, 6.0) if also_later else Stream(loop)
    for each in (stream, beside):
        pacer.wake(each.alarm)
    loop.run(5.5)
    pacer.wake(stream.alarm)
    loop.run(9)
    assert stream.turns == [5.0, 5.5, 7.0]
    assert beside.turns == ([5.0, 6.0] if also_later else [5.0])


def test_a_stream_that_is_forgotten_is_called_no_more(loop: Loop) -> None:
    pacer, stream, beside = Pacer(), Stream(loop, 6.0), Stream(loop, 6.0)
    for each in (stream, beside):
        pacer.wake(each.alarm)
    loop.run(5.5)
    pacer.forget(stream.alarm)
    loop.run(9)
    assert (stream.turns, beside.turns) == ([5.0], [5.0, 6.0])


def test_a_stream_with_more_to_send_lets_the_others_and_the_sockets_have_their_turn(
    loop: Loop,
) -> None:
    order: list[str] = []
    pacer = Pacer()
    greedy = Stream(loop, 5.0, 5.0, also=lambda: order.append("greedy"))
    pacer.wake(greedy.alarm)
    pacer.wake(Stream(loop, also=lambda: order.append("other")).alarm)
    loop.run(5.0)
    assert (order, loop.calls) == (["greedy", "other", "greedy", "greedy"], 3)


def test_a_stream_that_wakes_itself_is_called_once_more(loop: Loop) -> None:
    pacer = Pacer()
    again = [True]

    def wake() -> None:
        if again:
            again.clear()
            pacer.wake(stream.alarm)

    stream = Stream(loop, 6.0, 7.0, also=wake)
    pacer.wake(stream.alarm)
    loop.run(9)
    assert stream.turns == [5.0, 5.0, 7.0]


def test_a_fault_of_one_stream_is_reported_and_does_not_stop_the_others(loop: Loop) -> None:
    def fails() -> None:
        raise ValueError("a fault")

    pacer, bad, good = Pacer(), Stream(loop, also=fails), Stream(loop, 6.0)
    pacer.wake(bad.alarm)
    pacer.wake(good.alarm)
    loop.run(9)
    assert (bad.turns, good.turns) == ([5.0], [5.0, 6.0])
    [error] = loop.errors
    assert error["message"] == "A fault of the server ended a stream."
    assert str(error["exception"]) == "a fault"


@pytest.mark.parametrize("due", [math.inf, 1e306, 1e300, 1e11])
async def test_a_turn_that_is_due_in_ages_does_not_stop_the_others(due: float) -> None:
    pacer, ends, turns = Pacer(), asyncio.Event(), []

    def often(now: float) -> float:
        turns.append(now)
        if len(turns) == 3:
            ends.set()
        return now if len(turns) < 3 else math.inf

    pacer.wake(Alarm(often))
    pacer.wake(Alarm(lambda now: due))
    await asyncio.wait_for(ends.wait(), 5)
    assert len(turns) == 3
