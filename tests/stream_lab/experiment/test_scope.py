"""The observed `asyncio.timeout` logs its steps and behaves like the original, case by case."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stream_lab import scope
from stream_lab.experiment.evidence import Unknown

Make = Callable[[float | None], asyncio.Timeout]


def original(delay: float | None) -> asyncio.Timeout:
    return asyncio.timeout(delay)


def observed(delay: float | None) -> asyncio.Timeout:
    return scope.timeout(delay, scope.Log())


async def expires(make: Make) -> Any:
    async with make(0.01):
        await asyncio.sleep(5)


async def left_in_time(make: Make) -> Any:
    async with make(5) as cm:
        await asyncio.sleep(0)
    return cm.expired()


async def no_deadline(make: Make) -> Any:
    async with make(None) as cm:
        await asyncio.sleep(0.01)
    return cm.when(), cm.expired()


async def already_late(make: Make) -> Any:
    async with make(-1):
        await asyncio.sleep(0)


async def late_without_waiting(make: Make) -> Any:
    async with make(-1) as cm:
        pass
    return cm.expired()


async def another_error(make: Make) -> Any:
    async with make(5):
        raise ValueError("its own")


async def error_after_expiry(make: Make) -> Any:
    async with make(0.01):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise ValueError("instead") from None


async def cancelled_from_outside(make: Make) -> Any:
    async def body() -> None:
        async with make(5):
            await asyncio.sleep(5)

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def both_at_once(make: Make) -> Any:
    async def body() -> None:
        async with make(5) as cm:
            cm.reschedule(asyncio.get_running_loop().time() - 1)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

    await asyncio.create_task(body())


async def rescheduled(make: Make) -> Any:
    async with make(0.01) as cm:
        cm.reschedule(None)
        await asyncio.sleep(0.05)
    return cm.when(), cm.expired()


async def rescheduled_too_late(make: Make) -> Any:
    async with make(5) as cm:
        pass
    cm.reschedule(None)


async def entered_twice(make: Make) -> Any:
    async with make(5) as cm, cm:
        pass


async def three_tasks(make: Make) -> Any:
    cm = make(0.01)
    await asyncio.create_task(cm.__aenter__())
    await asyncio.create_task(asyncio.sleep(0.05))
    answer = await asyncio.create_task(cm.__aexit__(None, None, None))  # type: ignore[func-returns-value]
    return answer, cm.expired()


CASES = [
    expires, left_in_time, no_deadline, already_late, late_without_waiting, another_error, error_after_expiry,
    cancelled_from_outside, both_at_once, rescheduled, rescheduled_too_late, entered_twice, three_tasks,
]  # fmt: skip


def outcome(case: Callable[[Make], Awaitable[Any]], make: Make) -> tuple[Any, ...]:
    async def play() -> tuple[Any, ...]:
        task = asyncio.current_task()
        assert task is not None
        try:
            result = await case(make)
        except BaseException as error:
            return type(error).__name__, str(error).partition(" <")[0], task.cancelling()
        return "returned", result, task.cancelling()

    return asyncio.run(play())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_behaves_as_the_original(case: Callable[[Make], Awaitable[Any]]) -> None:
    assert outcome(case, observed) == outcome(case, original)


def test_a_scope_that_expires_logs_each_of_its_steps() -> None:
    async def play() -> scope.Log:
        log = scope.Log()
        with pytest.raises(TimeoutError):
            async with scope.timeout(0.01, log):
                await asyncio.sleep(5)
        return log

    log = asyncio.run(play())
    assert [(e.what, e.state, e.cancelling) for e in log.events] == [
        ("created", "created", 0),
        ("entered", "active", 0),
        ("timer fired", "expiring", 1),
        ("left", "expired", 0),
    ]
    assert [e.task for e in log.events] == [1, 1, 0, 1]
    assert scope.target(log) == "still at work"


def test_in_three_tasks_the_log_shows_a_finished_task_being_cancelled() -> None:
    async def play() -> scope.Log:
        log = scope.Log()
        await three_tasks(lambda delay: scope.timeout(delay, log))
        return log

    fired = asyncio.run(play()).find("timer fired")
    assert fired is not None
    assert fired.remembered_done
    assert fired.state == "expiring"


def test_a_timer_that_never_fired_hit_nothing() -> None:
    assert isinstance(scope.target(scope.Log()), Unknown)


def test_observed_sees_every_scope_opened_meanwhile_and_puts_the_original_back() -> None:
    before = asyncio.timeout

    async def play() -> scope.Log:
        with scope.observed() as log:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
        return log

    assert [event.what for event in asyncio.run(play()).events] == ["created", "entered", "left"]
    assert asyncio.timeout is before


def test_the_state_can_be_read_without_private_names() -> None:
    class Public:
        def __repr__(self) -> str:
            return "<Timeout [expiring] when=1.000>"

    assert scope.state(Public()) == "expiring"  # type: ignore[arg-type]
