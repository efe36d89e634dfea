"""The checkers of notebook 05: the same class in a chain."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from stream_lab.course.bounded_streams import Seen, Source, consume, opened, wrong_type
from stream_lab.course.exercise import Wrong, equals, exercise
from stream_lab.course.own_loop import in_own_loop
from stream_lab.experiment.call import Call

MOST = 10
SHORT = 4
DEADLINE, PAUSE = 0.2, 0.02  # seconds
ACROSS = "Is a scope still open at the `yield`, or does each chunk begin a new time-out?"


@exercise(
    "05.1",
    hints=(
        "A pull belongs to the side of the deadline on which its chunk arrived: compare `got`.",
        "Go through `call.recording.pulls` in order, and stop at the first whose `got` is larger "
        "than the deadline.",
    ),
    idea="The first pull with `got` after the deadline; its `task` is the number.",
)
def late_task(answer: object, call: Call) -> None:
    """Accept the number of the task that pulled the first chunk after the deadline."""
    came = [pull for pull in call.recording.pulls if pull.got is not None]
    late = [pull for pull in came if (pull.got or 0) > call.deadline]
    if not late:
        raise Wrong("No chunk came after the deadline in this run, so it has no such task.")
    if hasattr(answer, "task"):
        raise Wrong("That is the whole pull; its `task` is the number.")
    right = late[0].task
    asked = next((p.task for p in came if p.asked > call.deadline), 0)
    index = call.recording.pulls.index(late[0])
    before = [pull.task for pull in came if pull not in late]
    equals(
        answer,
        right,
        mistakes=[
            (asked, "That task asked after the deadline. The one before it asked earlier, and got "
             "its chunk after the deadline."),
            (index, "That is the pull's place in the list, which begins at 0; the task has a "
             "number of its own."),
            (before[-1] if before else 0, "That task got its chunk before the deadline."),
            (1, "Task 1 pulled the first chunk of all."),
            (late[-1].task, "That task pulled the last chunk."),
            (len(late), "That is how many chunks came after the deadline."),
        ],
    )  # fmt: skip


class _Ticking:
    """A stream with a scope inside, which notes the tasks that pull from it."""

    def __init__(self, count: int | None = None) -> None:
        self.tasks: list[Any] = []
        self._count = count

    async def stream(self) -> AsyncIterator[str]:
        async with asyncio.timeout(0.05):
            while self._count is None or len(self.tasks) < self._count:
                self.tasks.append(asyncio.current_task())
                yield "tick"  # noqa: ASYNC119 - the scope across the yield is the exhibit
                # After the first item, so that a busy machine does not cut the first task.
                await asyncio.sleep(0.02)


@exercise(
    "05.2",
    hints=(
        "One step is `anext(generator)`. What runs it as a task of its own?",
        "Make the task and await it, once for each item, in a loop that ends after ten.",
    ),
    idea="`asyncio.create_task` around each single step, awaited before the next step; "
    "StopAsyncIteration means that the stream has ended.",
)
async def fresh_tasks(answer: Any) -> None:
    """Accept a function that pulls each item in a task of its own."""
    await in_own_loop(lambda: _pull(answer), limit=5.0)


async def _pull(answer: Any) -> None:
    endless = _Ticking()
    got = await _call(answer, endless)
    _count(got, endless, MOST)
    if len(set(endless.tasks)) < MOST:
        raise Wrong("Several items were pulled in the same task.")
    short = _Ticking(SHORT)
    try:
        got = await _call(answer, short)
    except Wrong as wrong:
        if "StopAsyncIteration" in str(wrong):
            raise
        raise Wrong(f"With a stream that ends after {SHORT} items: {wrong}") from None
    _count(got, short, SHORT)


async def _call(answer: Any, ticking: _Ticking) -> object:
    if not callable(answer):
        raise Wrong("The answer is the function itself: pass it without calling it.")
    made = answer(ticking.stream())
    if hasattr(made, "__anext__"):
        raise Wrong("A `yield` makes an async generator; `fresh_tasks` returns one number.")
    if not hasattr(made, "__await__"):
        return made
    try:
        return await made
    except StopAsyncIteration:
        raise Wrong(
            f"The stream ended after {len(ticking.tasks)} items, and StopAsyncIteration came out "
            "of your function."
        ) from None
    except TimeoutError:
        same = len(set(ticking.tasks)) < len(ticking.tasks)
        raise Wrong(
            "TimeoutError came out: one task pulled every item, and it is the one that the "
            "scope remembers. Pull each item in a new task."
            if same or len(ticking.tasks) < 2
            else "TimeoutError came out of your function."
        ) from None
    except RuntimeError as error:
        if "already running" in str(error):
            raise Wrong(
                "Two tasks pulled at the same time: await each task before you make the next."
            ) from None
        raise
    except TypeError as error:
        if "coroutine" in str(error) and not ticking.tasks:
            raise Wrong(
                "`asyncio.create_task` takes one step of the generator, `anext(generator)`, and "
                "not the generator."
            ) from None
        raise


def _count(got: object, ticking: _Ticking, expected: int) -> None:
    pulled = len(ticking.tasks)
    if isinstance(got, list | tuple):
        raise Wrong("Return how many items there were, and not the items.")
    if got is None:
        raise Wrong("Your function returned None: return how many items it got.")
    if pulled != expected:
        raise Wrong(f"Your function pulled {pulled} items; {expected} were there to pull.")
    if got != expected or isinstance(got, bool):
        raise Wrong(f"Your function pulled {pulled} items and returned {got!r}.")


@exercise(
    "05.3",
    hints=(
        "A scope that is opened for one pull, and left before the chunk is handed over, remembers "
        "the task that pulls now.",
        "The moment of the deadline is computed once, before the first pull; every scope ends at "
        "that moment.",
    ),
    idea="`asyncio.timeout_at(until)` around each `anext(chunks)`, with the `yield` outside of it, "
    "and `until` computed before the loop.",
)
async def per_pull(answer: Any) -> None:
    """Accept a generator whose deadline holds whichever tasks pull from it."""
    await in_own_loop(lambda: _bound(answer))


async def _bound(answer: Any) -> None:
    whole = await _consume(answer, Source(gap=PAUSE, count=5), 10.0)
    if isinstance(whole.error, TimeoutError):
        raise Wrong("A stream that ended long before its deadline was cut.")
    if whole.error is not None:
        raise wrong_type(whole.error)
    if whole.ended is None:
        raise Wrong("A stream of five chunks never ended.")
    if whole.values != list(range(5)):
        raise Wrong(f"The stream has five chunks, and {len(whole.items)} came out.")
    for name, source, advice in (
        ("An endless stream in fresh tasks", Source(gap=PAUSE), ACROSS),
        (
            "A stream that falls silent after three chunks",
            Source(gap=PAUSE, count=3, last="silence"),
            "A look at the clock happens only when a chunk arrives; the wait needs a bound.",
        ),
    ):
        _cut(name, await _consume(answer, source, DEADLINE), advice)
    alone = await _consume(answer, Source(gap=PAUSE), DEADLINE, tasks=False)
    _cut("An endless stream in one task", alone, "It has to hold there, too.")
    broken = await _consume(answer, Source(gap=PAUSE, count=2, last="error"), 10.0)
    if not isinstance(broken.error, ValueError):
        found = "no error" if broken.error is None else type(broken.error).__name__
        raise Wrong(f"The source failed with ValueError, and {found} came out.")


async def _consume(answer: Any, source: Source, seconds: float, *, tasks: bool = True) -> Seen:
    stream = opened(answer, source.items(), seconds)
    return await consume(stream, min(seconds, 1.0), tasks=tasks)


def _cut(name: str, seen: Seen, advice: str) -> None:
    if seen.ended is None:
        raise Wrong(f"{name} was not cut. {advice}")
    if seen.error is None:
        raise Wrong(
            f"{name} ended without an error, so half an answer looks like a whole one: let "
            "TimeoutError out."
        )
    if not isinstance(seen.error, TimeoutError):
        raise wrong_type(seen.error)
    if not seen.items:
        raise Wrong(f"{name} was cut before its first chunk came out.")
