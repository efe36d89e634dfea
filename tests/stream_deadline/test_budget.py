"""Bounds, deadlines and the ambient budget."""

import asyncio
import contextvars
import math
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stream_deadline import Deadline, Expiry, _clock, deadline, on_expired, remove_hook
from stream_deadline._budget import Bounds, Budget
from stream_deadline._deadline import clock_of


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.mark.parametrize(
    "value", [0, 0.0, -1, math.nan, math.inf, -math.inf, True, False, "45", "", [], object()]
)
@pytest.mark.parametrize("name", ["timeout", "first_chunk_timeout", "idle_timeout"])
def test_a_bound_is_a_positive_number_of_seconds_or_none(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        Bounds(**{name: value})


@pytest.mark.parametrize("name", ["first_chunk_timeout", "idle_timeout"])
def test_a_part_may_be_as_long_as_the_whole_and_not_longer(name: str) -> None:
    assert getattr(Bounds(10, **{name: 10}), name) == 10
    with pytest.raises(ValueError, match="could never act"):
        Bounds(10, **{name: 10.001})


def test_a_part_needs_no_total_bound() -> None:
    assert Bounds(None, 5, 1) == Bounds(first_chunk_timeout=5.0, idle_timeout=1.0)


def test_the_next_bound_depends_on_the_last_event() -> None:
    clock = Clock()
    budget = Budget(Bounds(45, 10, 2), clock)
    assert budget.due == 1010
    clock.time = 1008
    budget.note_progress()
    assert budget.due == 1010
    clock.time = 1009.5
    budget.note_progress()
    assert budget.due == 1011.5
    clock.time = 1044
    budget.note_progress()
    assert budget.due == budget.total_at == 1045


def test_pauses_of_the_consumer_move_the_bounds_of_silence_but_not_the_total() -> None:
    budget = Budget(Bounds(45, 10, 2), Clock())
    budget.note_progress()
    budget.exclude(30)
    assert budget.due == 1032
    budget.exclude(30)
    assert budget.due == 1045


def test_the_error_names_the_bound_that_was_reached_first() -> None:
    clock = Clock()
    budget = Budget(Bounds(45, 10, 2), clock)
    budget.note_progress()
    clock.time = 1050
    error = budget.error(3, lambda: None)
    assert (error.bound, error.limit, error.elapsed, error.chunks) == ("idle_timeout", 2, 50, 3)


def test_a_pause_moves_the_bound_of_the_first_chunk() -> None:
    budget = Budget(Bounds(45, first_chunk_timeout=10), Clock())
    assert budget.due == 1010
    budget.exclude(3)
    assert budget.due == 1013


@pytest.mark.parametrize(("before", "by_the_outer"), [(0.05, True), (0.2, False), (1.0, False)])
def test_the_outer_call_reports_only_what_has_ended_both(before: float, by_the_outer: bool) -> None:
    clock = Clock()
    outer = Budget(Bounds(45), clock)
    inner = Budget(Bounds(45 - before), clock)
    inner.outer = outer
    seen: list[Expiry] = []
    clock.time = inner.due
    on_expired(seen.append)
    try:
        inner.report()
    finally:
        remove_hook(seen.append)
    assert [each.limit for each in seen] == [45 if by_the_outer else 45 - before]


def test_deadlines_nest_and_only_shorten() -> None:
    with deadline(30) as outer:
        with deadline(60) as longer:
            assert longer == outer
        with deadline(10) as shorter:
            assert shorter.at < outer.at
        with deadline(None) as none:
            assert none == outer


def test_a_call_whose_client_has_left_ends_though_its_deadline_is_lifted() -> None:
    with deadline(30) as due:
        budget = Budget(Bounds(45), time.monotonic)
        other = Budget(Bounds(45), time.monotonic)
        budget.revoke()
        due.at = math.inf
        assert not budget.was_lifted()
        assert other.was_lifted()


def test_a_block_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), deadline(30):
        _ = 1 / 0
    assert Budget(Bounds(), time.monotonic).total_at == math.inf


@pytest.mark.parametrize("value", [0, -5, -0.001])
def test_a_budget_of_zero_or_less_is_used_up(value: float) -> None:
    with deadline(value) as budget:
        assert budget.expired
        assert budget.remaining() <= 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "30"])
def test_a_value_that_is_not_a_number_of_seconds_is_refused_as_a_deadline(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a number of seconds"):
        deadline(value)


def test_a_deadline_has_passed_in_its_very_moment() -> None:
    before = _clock.install(clock := Clock())
    try:
        due = Deadline(1005.0, 5.0)
        assert not due.expired
        clock.time = 1005.0
        assert due.expired
    finally:
        _clock.install(before)


def test_none_is_no_bound() -> None:
    with deadline(None) as budget:
        assert budget.remaining() == math.inf
        assert not budget.expired


def test_a_deadline_follows_context_variables() -> None:
    def left() -> float:
        return Budget(Bounds(), time.monotonic).remaining()

    async def main() -> list[float]:
        async def inside() -> float:
            return left()

        return [await asyncio.create_task(inside()), await asyncio.to_thread(left)]

    with deadline(30):
        assert all(29 < seconds <= 30 for seconds in asyncio.run(main()))
        found: list[float] = []
        thread = threading.Thread(target=lambda: found.append(left()))
        thread.start()
        thread.join()
    assert found == [math.inf], "if this changed, the docstring of `deadline` may promise more"


def test_a_deadline_across_a_yield_is_an_error_in_another_task() -> None:
    async def wrong() -> AsyncIterator[int]:
        with deadline(30):
            yield 1  # noqa: ASYNC119 - the mistake is the subject
            yield 2  # noqa: ASYNC119

    async def main() -> None:
        stream = wrong()
        for _ in range(2):
            await asyncio.create_task(anext(stream))  # type: ignore[arg-type]
        await asyncio.create_task(anext(stream))  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="do not hold it across a yield"):
        asyncio.run(main())


def test_a_deadline_cannot_be_left_in_another_context() -> None:
    block = deadline(30)
    contextvars.copy_context().run(block.__enter__)
    with pytest.raises(RuntimeError, match="another task or thread"):
        block.__exit__(None, None, None)


def test_the_clock_is_the_monotonic_one_on_asyncio_and_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")
    for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        loop = new_loop()
        assert clock_of(loop) is time.monotonic
        loop.close()


def test_a_deadline_can_be_set_in_seconds_from_now() -> None:
    until = Deadline.after(20)
    assert 19 < until.remaining() <= 20
    assert until.limit == 20


def test_a_call_hears_of_no_jump_of_a_later_clock() -> None:
    told: list[str] = []
    before = _clock.install(Clock())
    try:
        _clock.notify_of_jumps(lambda: told.append("first"))
        _clock.jumped()
        _clock.install(time.monotonic)
        _clock.install(Clock())
        _clock.jumped()
    finally:
        _clock.install(before)
    assert told == ["first"]
