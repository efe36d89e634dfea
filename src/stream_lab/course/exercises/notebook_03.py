"""The exercises of notebook 03: values of cancel(), the right task, a small scope."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from stream_lab.course.exercise import Wrong, equals, exercise

SHORT = 0.05
"""Seconds of a scope that expires."""
LONG = 20.0
"""Seconds of a scope that does not, and of work that takes too long."""
PATIENCE = 1.0
"""Seconds after which a case has gone wrong."""
TIME_OUT, CANCELLED, NONE, WENT_ON = "TimeoutError", "CancelledError", "no error", "went on"


@dataclass
class Case:
    """What happened when some code ran in a task of its own.

    Attributes:
        came_out: `TIME_OUT`, `CANCELLED` or `NONE`; `WENT_ON` if it had not ended after a second;
            or the type of another error.
        task: the task.
        result: what it returned.
    """

    came_out: str
    task: "asyncio.Task[Any]"
    result: Any = None


async def _case(code: Coroutine[Any, Any, Any], cancel_after: float | None = None) -> Case:
    """Run code in a task of its own, and perhaps cancel that."""
    task = asyncio.create_task(code)
    if cancel_after is not None:
        asyncio.get_running_loop().call_later(cancel_after, task.cancel)
    await asyncio.wait({task}, timeout=PATIENCE)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE)
        return Case(WENT_ON, task)
    if task.cancelled():
        return Case(CANCELLED, task)
    error = task.exception()
    if error is None:
        return Case(NONE, task, task.result())
    if isinstance(error, (TimeoutError, ValueError)):
        return Case(type(error).__name__, task)
    raise error


@exercise(
    "03.1",
    hints=(
        "`task = asyncio.create_task(asyncio.sleep(0))`, then `await task`, then look.",
        "For a waiting task: create it with a long sleep, then `await asyncio.sleep(0)` once.",
    ),
    idea="cancel() returns whether it could request anything, and a finished task takes no request",
)
async def values_of_cancel(answer: object) -> None:
    """Compare with the values for an ended task and for a waiting one."""
    ended = asyncio.create_task(asyncio.sleep(0))
    await ended
    waits = asyncio.create_task(asyncio.sleep(LONG))
    await asyncio.sleep(0)
    expected = (ended.cancel(), waits.cancel())
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise Wrong("Answer with a pair: (for a task that has ended, for a task that is waiting).")
    if any(isinstance(value, str) for value in answer):
        raise Wrong("The answer is a pair of values, without quotes. No error is raised.")
    equals(
        tuple(answer),
        expected,
        mistakes=[
            (expected[::-1], "The right values in the wrong order: first the task that has ended."),
            (
                (True, True),
                "For one of them the request has no effect. Await the first task first.",
            ),
            ((None, None), "Look at what `cancel()` returns, and not at what the task returns."),
        ],
    )


@exercise(
    "03.2",
    hints=(
        "Which task does the scope cancel? Enter it in the one that does the work.",
        "`async with cm:` in `bounded`, and `await work()` inside that block.",
    ),
    idea="the scope remembers the task that enters it, so enter it where the work is awaited",
)
async def bounded(answer: Callable[..., Any]) -> None:
    """Try work that takes too long, and work that is done in time."""
    if not callable(answer):
        raise Wrong("`bounded` is to be an `async def` function with the parameters cm and work.")
    ended: list[str] = []

    async def too_long() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.append("work")

    case = await _case(_called(answer, asyncio.timeout(SHORT), too_long))
    if case.came_out == WENT_ON:
        raise Wrong("The time was over, and the work went on. Which task did the scope remember?")
    if case.came_out == CANCELLED:
        raise Wrong("A CancelledError came out: the scope has to be left, too. Use `async with`.")
    if case.came_out == NONE:
        raise Wrong(
            "The time was over, and no error came out. The caller has to get the TimeoutError."
        )
    await asyncio.sleep(0.02)
    if not ended:
        raise Wrong("A TimeoutError came out, and the work goes on in its own task.")

    async def in_time() -> str:
        await asyncio.sleep(3 * SHORT)
        return "done"

    case = await _case(_called(answer, asyncio.timeout(LONG), in_time))
    if case.came_out != NONE:
        raise Wrong(
            f"The scope allows {LONG:g} s, the work took {3 * SHORT:g} s, and {case.came_out} came "
            "out. Use the scope that you get, and no other bound."
        )
    if case.result != "done":
        raise Wrong(f"`work()` returned 'done', and your function returned {case.result!r}.")


async def _called(
    answer: Callable[..., Any], cm: object, work: Callable[[], Awaitable[Any]]
) -> Any:
    found = answer(cm, work)
    if not inspect.isawaitable(found):
        raise Wrong("`bounded` is to be an `async def` function.")
    return await found


@exercise(
    "03.3",
    hints=(
        "`asyncio.current_task()`, `loop.call_later(delay, self.fire)`, `task.cancel()`, "
        "`task.uncancel()` and `task.cancelling()` are all you need.",
        "In `__aexit__`: if the timer has fired, call `uncancel()`, which returns the new count, "
        "and compare it with the count at the entry.",
    ),
    idea="raise TimeoutError only if your timer fired, the error is a CancelledError, and after "
    "uncancel() the count is what it was at the entry",
)
async def mini_timeout(answer: Callable[..., Any]) -> None:
    """Try each way in which a scope is left."""
    if not callable(answer):
        raise Wrong("Answer with the class `MiniTimeout` itself.")
    if isinstance(answer, type) and issubclass(answer, asyncio.Timeout):
        raise Wrong("That is the real one. Write the class without it.")
    await _time_runs_out(answer)
    await _left_in_time(answer)
    await _errors(answer)
    await _other_cancellations(answer)
    await _nested(answer)
    await _cancelled_before(answer)


async def _time_runs_out(scope: Callable[[float], Any]) -> None:
    async def code() -> int:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with scope(SHORT):
                await asyncio.sleep(LONG)
        except TimeoutError:
            return task.cancelling()
        raise LookupError

    try:
        case = await _case(code())
    except LookupError:
        raise Wrong("The time was over, and no TimeoutError came out of the scope.") from None
    if case.came_out == WENT_ON:
        raise Wrong("The time was over, and the body was not stopped. Does the timer cancel it?")
    if case.came_out == CANCELLED:
        raise Wrong("The time was over, and CancelledError came out. Raise TimeoutError instead.")
    if case.result:
        raise Wrong("After the TimeoutError a cancellation is still pending. Call `uncancel()`.")


async def _left_in_time(scope: Callable[[float], Any]) -> None:
    async def code() -> str:
        async with scope(2 * SHORT):
            await asyncio.sleep(0)
        try:
            await asyncio.sleep(4 * SHORT)
        except asyncio.CancelledError:
            return "hit"
        return "fine"

    case = await _case(code())
    if case.came_out != NONE:
        raise Wrong(f"The body was done in time, and {case.came_out} came out.")
    if case.result != "fine":
        raise Wrong("The timer fired after the scope had been left. Drop it in `__aexit__`.")


async def _errors(scope: Callable[[float], Any]) -> None:
    async def early() -> None:
        async with scope(LONG):
            raise ValueError

    async def in_clean_up() -> None:
        async with scope(SHORT):
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                raise ValueError from None

    for code, when in ((early(), "in time"), (in_clean_up(), "while it cleaned up")):
        case = await _case(code)
        if case.came_out != "ValueError":
            raise Wrong(f"The body raised ValueError {when}, and {case.came_out} came out.")


async def _other_cancellations(scope: Callable[[float], Any]) -> None:
    async def alone() -> None:
        async with scope(LONG):
            await asyncio.sleep(LONG)

    case = await _case(alone(), cancel_after=SHORT)
    if case.came_out != CANCELLED:
        raise Wrong(
            "Other code cancelled the task before its time was over, "
            f"and {case.came_out} came out. That cancellation was not the scope's own."
        )
    left: list[int] = []

    async def together() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with scope(SHORT):
                asyncio.get_running_loop().call_later(SHORT, task.cancel)
                # With the thread blocked until then, the loop finds both timers due at once.
                time.sleep(2 * SHORT)  # noqa: ASYNC251
                await asyncio.sleep(LONG)
        finally:
            left.append(task.cancelling())

    case = await _case(together())
    if case.came_out != CANCELLED:
        raise Wrong(
            "Other code cancelled the task at the moment when the time was over, "
            f"and {case.came_out} came out. The other request must not get lost."
        )
    if left != [1]:
        raise Wrong(
            f"Other code cancelled the task once, and {left[0]} cancellations are pending now. "
            "Take back your own, and only that."
        )


async def _nested(scope: Callable[[float], Any]) -> None:
    async def inner_first() -> str:
        async with scope(LONG):
            try:
                async with scope(SHORT):
                    await asyncio.sleep(LONG)
            except TimeoutError:
                await asyncio.sleep(0)
                return "caught"
        return "not caught"

    case = await _case(inner_first())
    if (case.came_out, case.result) != (NONE, "caught"):
        raise Wrong("Nested, the inner scope ran out first, and its TimeoutError did not come out.")

    async def outer_first() -> str:
        try:
            async with scope(SHORT):
                try:
                    async with scope(LONG):
                        await asyncio.sleep(LONG)
                except TimeoutError:
                    return "the inner one"
        except TimeoutError:
            return "the outer one"
        return "neither"

    case = await _case(outer_first())
    if (case.came_out, case.result) != (NONE, "the outer one"):
        raise Wrong("Nested, the outer scope ran out first; its TimeoutError has to come from it.")


async def _cancelled_before(scope: Callable[[float], Any]) -> None:
    async def code() -> str:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            # Clean-up with a bound of its own, in a task with a cancellation pending.
            try:
                async with scope(SHORT):
                    await asyncio.sleep(LONG)
            except TimeoutError:
                return "bounded"
            except asyncio.CancelledError:
                return "not bounded"
        return "not cancelled"

    case = await _case(code(), cancel_after=SHORT)
    if case.result != "bounded":
        raise Wrong(
            "A cancelled task cleaned up in a scope, whose time ran out without a TimeoutError. "
            "Compare the count with that at the entry, and not with 0."
        )
