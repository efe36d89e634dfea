"""Bounds, deadlines and the ambient budget."""

import asyncio
import contextvars
import math
import threading
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import pytest

from stream_deadline import Deadline, Expiry, _clock, deadline, on_expired, remove_hook
from stream_deadline._budget import Bounds, Budget
from stream_deadline._deadline import clock_of, holding
from tests.stream_deadline.still_clock import Clock


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


@pytest.fixture
def clock() -> Clock:
    """A clock for a budget of the test, which is none of the process."""
    return Clock()


@pytest.mark.parametrize("value", [3, 3.0, Fraction(3, 1)])
def test_a_bound_may_be_any_real_number(value: Any) -> None:
    bounds = Bounds(value)
    assert (bounds.timeout, type(bounds.timeout)) == (3.0, float)


def test_a_number_that_is_too_large_for_a_clock_is_refused_as_a_bound() -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        Bounds(10**400)


@pytest.mark.parametrize(
    ("bounds", "watches"),
    [(Bounds(), False), (Bounds(45), False), (Bounds(45, 10), True),
     (Bounds(45, None, 2), True), (Bounds(45, 10, 2), True)],
)  # fmt: skip
def test_chunks_are_watched_only_for_a_bound_of_silence(bounds: Bounds, watches: bool) -> None:
    assert bounds.has_parts == watches
    assert Budget(bounds, Clock()).watches_chunks == watches


@pytest.mark.parametrize(
    ("late", "postponed"), [(0.0, 0), (0.01, 0), (0.02, 0.03), (0.25, 0.26), (0.26, 0.26), (9, 0.26)]
)  # fmt: skip
def test_a_silence_is_postponed_by_what_the_timer_was_late_up_to_a_quarter_of_a_second(
    late: float, postponed: float
) -> None:
    budget = Budget(Bounds(45, 10, 2), Clock())
    budget.note_progress()
    assert budget.forgive(late) == bool(postponed)
    assert budget.due == pytest.approx(1002 + postponed, abs=1e-6)


def test_a_silence_is_postponed_only_if_it_ends_before_the_call() -> None:
    assert not Budget(Bounds(10, first_chunk_timeout=10), Clock()).forgive(0.2)
    assert Budget(Bounds(10, first_chunk_timeout=9.9), Clock()).forgive(0.2)


def test_a_clock_that_a_test_moves_is_never_late() -> None:
    before = _clock.install(clock := Clock())
    try:
        budget = Budget(Bounds(45, 10), clock)
        assert not budget.forgive(0.2)
        assert budget.due == 1010
    finally:
        _clock.install(before)


def test_a_budget_is_used_up_in_the_very_moment_of_its_end(clock: Clock) -> None:
    budget = Budget(Bounds(45, 10), clock)
    clock.time = 1044.5
    assert (budget.is_used_up(), budget.remaining()) == (False, 0.5)
    clock.time = 1045
    assert (budget.is_used_up(), budget.remaining()) == (True, 0)


def test_a_call_whose_client_has_left_ends_at_once(clock: Clock, reported: list[Expiry]) -> None:
    budget = Budget(Bounds(45, 10, 2), clock)
    clock.time = 1005
    budget.revoke()
    clock.time = 1006
    budget.revoke()
    assert (budget.total_at, budget.due) == (1005, 1005)
    error = budget.error(0, lambda: None)
    assert (error.bound, error.limit, error.elapsed) == ("caller", 5, 6)
    assert [(each.bound, each.limit, each.elapsed) for each in reported] == [("caller", 5, 6)]


def test_a_client_that_leaves_after_the_end_has_not_ended_the_call(clock: Clock) -> None:
    budget = Budget(Bounds(45), clock)
    clock.time = 1045
    budget.revoke()
    assert budget.error(0, lambda: None).bound == "timeout"


def test_the_call_lasts_until_the_first_of_its_ends_that_still_holds(clock: Clock) -> None:
    near, far = Deadline(1010, 10.0), Deadline(1020, 20.0)
    with holding(far):
        budget = Budget(Bounds(45, 44), clock, near)
    assert (budget.total_at, budget.due) == (1010, 1010)
    clock.time = 1015
    assert budget.quiet_error().bound == "deadline"
    assert not budget.was_lifted(), "nothing was"
    near.lift()
    assert budget.was_lifted()
    assert (budget.total_at, budget.due) == (1020, 1020)
    far.lift()
    assert budget.was_lifted()
    assert (budget.total_at, budget.due) == (1045, 1044)
    clock.time = 1045
    assert not budget.was_lifted(), "the call's own end holds"
    assert budget.error(0, lambda: None).bound == "first_chunk_timeout"


def test_a_lifted_deadline_is_over_when_the_next_end_has_come_too(clock: Clock) -> None:
    near = Deadline(1010, 10.0)
    budget = Budget(Bounds(45), clock, near)
    near.lift()
    clock.time = 1045
    assert not budget.was_lifted()
    error = budget.error(0, lambda: None)
    assert (error.bound, error.limit) == ("timeout", 45)


def test_a_deadline_that_gets_a_time_later_does_not_bound_the_calls_before(clock: Clock) -> None:
    first, later = Deadline(1010, 10.0), Deadline(math.inf, math.inf)
    with holding(later):
        budget = Budget(Bounds(45), clock, first)
    later.at = 1005
    first.lift()
    clock.time = 1011
    assert budget.was_lifted()
    assert budget.total_at == 1045


@pytest.mark.parametrize(
    ("bounds", "speaks_at", "expected"),
    [
        (Bounds(45), None, ("timeout", 45)),
        (Bounds(45, 10), None, ("first_chunk_timeout", 10)),
        (Bounds(45, 45), None, ("timeout", 45)),
        (Bounds(None, 10), None, ("first_chunk_timeout", 10)),
        (Bounds(45, 10), 1009, ("timeout", 45)),
        (Bounds(45, 10, 2), 1009, ("idle_timeout", 2)),
        (Bounds(45, None, 2), 1043, ("timeout", 45)),
        (Bounds(None, None, 2), 1043, ("idle_timeout", 2)),
        (Bounds(), None, ("timeout", math.inf)),
    ],
)
def test_an_error_has_the_first_bound_and_the_whole_if_a_part_ends_with_it(
    clock: Clock, bounds: Bounds, speaks_at: float | None, expected: tuple[str, float]
) -> None:
    budget = Budget(bounds, clock)
    if speaks_at is not None:
        clock.time = speaks_at
        budget.note_progress()
    clock.time = 1050
    error = budget.error(0, lambda: None)
    assert (error.bound, error.limit) == expected


def test_an_end_is_reported_once_with_what_is_known_of_the_call(
    clock: Clock, reported: list[Expiry]
) -> None:
    budget = Budget(Bounds(45), clock)
    budget.name_model = lambda: "gpt"
    budget.host = "example.org"
    clock.time = 1046
    quiet = budget.quiet_error()
    assert (quiet.bound, quiet.limit, quiet.elapsed, quiet.chunks) == ("timeout", 45, 46, 0)
    assert budget.ended_below
    assert not reported, "a layer below the call reports nothing"
    made: list[str] = []

    def partial() -> str:
        made.append("once")
        return "a half"

    error = budget.error(7, partial)
    assert not made, "it is made when it is read"
    assert (error.elapsed, error.chunks, error.partial) == (46, 7, "a half")
    clock.time = 1047
    assert budget.error(8, partial).elapsed == 47
    assert reported == [Expiry("timeout", 45, 46, 7, "gpt", "example.org")]


def test_a_new_budget_knows_nothing_of_its_call(clock: Clock, reported: list[Expiry]) -> None:
    budget = Budget(Bounds(45), clock)
    assert (budget.started, budget.chunks, budget.ended_below) == (1000, 0, False)
    clock.time = 1045
    budget.report()
    assert reported == [Expiry("timeout", 45, 45, 0, None, None)]


def test_an_answer_that_is_cut_short_says_when_and_what_had_come(
    clock: Clock, reported: list[Expiry]
) -> None:
    budget = Budget(Bounds(45), clock)
    clock.time = 1003
    error = budget.cut_short(4, lambda: "a half")
    assert (error.elapsed, error.chunks, error.partial) == (3, 4, "a half")
    assert not reported, "no bound has ended it"


def test_each_silence_is_postponed_once(clock: Clock) -> None:
    budget = Budget(Bounds(45, None, 2), clock)
    for start in (1000, 1010):
        clock.time = start
        budget.note_progress()
        assert budget.forgive(0.2)
        assert not budget.forgive(0.2)
        assert budget.due == pytest.approx(start + 2 + 0.21, abs=1e-6)
