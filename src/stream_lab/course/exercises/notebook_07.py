"""The checkers of notebook 07: a bounded stream, and one that no scope stops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from stream_lab.course.bounded_streams import SLACK, Seen, Source, consume, opened, wrong_type
from stream_lab.course.exercise import Wrong, exercise
from stream_lab.course.own_loop import in_own_loop

DEADLINE = 0.3  # seconds
SILENT_FROM, LONGER = 0.5, 0.6  # seconds: the silence begins shortly before this deadline
LATE_ITEMS = 3


@exercise(
    "07.1",
    hints=(
        "Two things can hide a deadline: a wait that does not end, and no wait at all. "
        "Which of your lines looks after which?",
        "`asyncio.timeout_at(until)` belongs around the one `await anext(…)`, and "
        "`loop.time() >= until` before it.",
    ),
    idea="Work out the moment `until` once. In a loop: raise TimeoutError if it has passed, open a "
    "scope until that moment around one `anext`, leave the scope, and only then yield.",
)
async def bounded_while_pulled(answer: Callable[..., Any]) -> None:
    """Check a generator that ends silence, and items without a wait, at the deadline."""
    await in_own_loop(lambda: _try_bounded(answer))


async def _try_bounded(answer: Callable[..., Any]) -> None:
    seen = await _of(answer, Source(gap=0.005, count=5), 5.0)
    if isinstance(seen.error, TimeoutError):
        raise Wrong("It raised TimeoutError for a source that ended long before the deadline.")
    if seen.error is not None:
        raise wrong_type(seen.error)
    if seen.values != list(range(5)):
        raise Wrong(f"Of a source that yields 0, 1, 2, 3, 4 in time it handed over {seen.values}.")

    seen = await _of(answer, Source(gap=SILENT_FROM / 2, count=2, last="silence"), LONGER)
    if seen.ended is None:
        raise Wrong(
            "A source that falls silent was not ended: nothing bounds the wait for the next item. "
            "A clock that is read between items is not read in that wait."
        )
    _must_be_timeout(seen)
    if seen.ended > LONGER + SLACK:
        raise Wrong(
            "Silence was ended too late: each wait got the whole time again. Bound it by a "
            "moment, `asyncio.timeout_at(until)`, and not by a length."
        )

    seen = await _of(answer, Source(), DEADLINE, pause=0.03)
    if seen.ended is None or seen.after(DEADLINE + SLACK):
        raise Wrong(
            "Items that were ready came long after the deadline: `anext` returned them without a "
            "wait, and a scope acts only in a wait. Read the clock before each pull."
        )
    _must_be_timeout(seen)

    seen = await _of(answer, Source(gap=0.02), DEADLINE, tasks=True)
    if seen.ended is None:
        raise Wrong(
            "With each item pulled by a new task, as in a chain, it was not ended: the scope "
            "belongs to one task. Enter and leave it around one `anext`, and never at a `yield`."
        )
    _must_be_timeout(seen)

    seen = await _of(answer, Source(gap=0.005, count=2, last="error"), 5.0)
    if not isinstance(seen.error, ValueError):
        raise Wrong("The source raised ValueError, and its consumer did not get that error.")


async def _of(answer: Callable[..., Any], source: Source, seconds: float, **how: Any) -> Seen:
    return await consume(opened(answer, source.items(), seconds), seconds, **how)


def _must_be_timeout(seen: Seen) -> None:
    if seen.error is None:
        raise Wrong(
            "At the deadline it ended as if the answer were whole: raise TimeoutError, so that "
            "the consumer knows."
        )
    if not isinstance(seen.error, TimeoutError):
        raise wrong_type(seen.error)


@exercise(
    "07.2",
    hints=(
        "Where in your source can a cancellation be delivered?",
        "Every `await` that really waits is such a place, `asyncio.sleep(0)` included. Take time "
        "in another way.",
    ),
    idea="A source that computes, or calls `time.sleep`, between two `yield`s takes time and never "
    "waits, so the event loop gets no turn in which a timer could fire.",
)
async def slips_through(answer: Callable[..., Any]) -> None:
    """Check a source that a scope around each wait cannot end."""
    await in_own_loop(lambda: _try_to_end(answer))


async def _try_to_end(answer: Callable[..., Any]) -> None:
    seen = await consume(_scope_per_pull(opened(answer), DEADLINE), DEADLINE)
    late = seen.after(DEADLINE)
    if isinstance(seen.error, TimeoutError):
        raise Wrong(
            f"The scope ended your source after {len(seen.items)} items: it waits somewhere, and "
            "there the cancellation was delivered."
        )
    if seen.error is not None:
        raise wrong_type(seen.error)
    if seen.ended is not None and late < LATE_ITEMS:
        raise Wrong(
            f"Your source ended by itself after {seen.ended:.2f} s and {len(seen.items)} items, "
            f"before {LATE_ITEMS} of them could be later than the deadline of {DEADLINE:g} s."
        )
    if late < LATE_ITEMS:
        raise Wrong(f"Only {late} items came after the deadline of {DEADLINE:g} s.")


async def _scope_per_pull(items: AsyncIterator[Any], seconds: float) -> AsyncIterator[Any]:
    """Do what attempt 3 of the notebook does."""
    until = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(until):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item
