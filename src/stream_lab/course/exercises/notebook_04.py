"""The checkers of notebook 04: a scope in the model."""

import asyncio
from typing import Any

from stream_lab.course.bounded_streams import Source, opened
from stream_lab.course.exercise import Wrong, equals, exercise
from stream_lab.course.own_loop import in_own_loop
from stream_lab.experiment.endpoint import bundled
from stream_lab.experiment.scope import Log

ITEMS = 5
PAUSE = 0.005  # seconds between two chunks
LIMIT, OTHER_LIMIT = 0.4, 20.0  # seconds; the answer has to use the first
GIVE_UP = 2.0  # seconds


@exercise(
    "04.1",
    hints=(
        "`log.events` lists the steps of the scope in order, and each event has a `state`.",
        "Only one step matters: `log.find(…)` with the words for the moment at which time ran out.",
    ),
    idea="The timer only asks for a cancellation. The scope waits for it to arrive, and is in a "
    "state of its own until then.",
)
def state_after_the_timer(answer: object, log: Log) -> None:
    """Accept the state in which the timer left the scope."""
    fired, left = log.find("timer fired"), log.find("left")
    if fired is None:
        raise Wrong("The timer did not fire in this run, so run the notebook again from the top.")
    if hasattr(answer, "state"):
        raise Wrong("That is a whole event; its `state` is the word.")
    equals(
        str(answer).lower() if isinstance(answer, str) else answer,
        fired.state,
        mistakes=[
            (left.state if left else "", "That is its state after the block was left."),
            ("active", "That is its state before the timer fired."),
            ("created", "That is its state before the block was entered."),
            ("timer fired", "That is what happened; the state is another field of the event."),
            ("cancelled", "The task is cancelled; the scope has a word of its own for its state."),
        ],
    )


@exercise(
    "04.2",
    hints=(
        "An async generator runs in the task that asks for its next item, so "
        "`asyncio.current_task()` inside it is that task.",
        "Note the task inside the loop, before the `yield`.",
    ),
    idea="A loop over `chunks` which adds the current task to `seen` and then yields the chunk.",
)
async def tasks_noted(answer: Any) -> None:
    """Accept a generator that notes the task of each pull and passes on every chunk."""
    await in_own_loop(lambda: _one_task(answer))
    await in_own_loop(lambda: _fresh_tasks(answer))


async def _one_task(answer: Any) -> None:
    seen: set[Any] = set()
    stream = opened(answer, Source(gap=PAUSE, count=ITEMS).items(), seen)
    items = [item async for item in stream]
    _complete(items)
    if len(seen) != 1:
        raise Wrong(f"One task pulled the whole stream, and `seen` holds {len(seen)}.")


async def _fresh_tasks(answer: Any) -> None:
    seen: set[Any] = set()
    stream = opened(answer, Source(gap=PAUSE, count=ITEMS).items(), seen)
    items: list[int] = []

    async def step() -> None:
        items.append(await anext(stream))

    for number in range(1, ITEMS + 1):
        await asyncio.create_task(step())
        if len(seen) < number:
            _too_few(seen, number)
    _complete(items)
    if len(seen) > ITEMS:
        raise Wrong(f"{ITEMS} tasks pulled a chunk each, and `seen` holds {len(seen)}.")


def _too_few(seen: set[Any], pulled: int) -> None:
    if any(isinstance(each, int) for each in seen):
        raise Wrong(
            "A task that has ended leaves its identity to a later one, so two tasks look like "
            "one. Keep the task itself."
        )
    if pulled == 1:
        raise Wrong(
            "The first chunk came, and `seen` was still empty. After the `yield`, the code already "
            "runs in the task that asks for the next chunk."
        )
    raise Wrong(
        f"{pulled} tasks have pulled a chunk each, and `seen` holds {len(seen)}: note the current "
        "task for each chunk, and not once for the stream."
    )


def _complete(items: list[int]) -> None:
    if items != list(range(ITEMS)):
        raise Wrong(f"The stream has {ITEMS} chunks, and your generator passed on {len(items)}.")


@exercise(
    "04.3",
    hints=(
        "The body is a scope around one `await`.",
        "The limit is `self.stream_timeout`; the work is `super()._agenerate(*args, **kwargs)`.",
    ),
    idea="Open the scope as in `_astream`, await the method of the parent class inside it, and "
    "return what that returns.",
)
async def bounded_ainvoke(answer: Any) -> None:
    """Accept a class whose `ainvoke` ends at `stream_timeout`, and otherwise answers."""
    if not isinstance(answer, type):
        raise Wrong("The answer is the class itself, not an object of it.")
    # Started from a thread, since it waits for a process.
    server = await asyncio.to_thread(bundled, "endless", gap=0.02)
    try:
        await _check_class(answer, server.settings)
    finally:
        await asyncio.to_thread(server.close)


async def _check_class(answer: Any, settings: dict[str, Any]) -> None:
    given = {**settings, "timeout": OTHER_LIMIT, "stream_timeout": LIMIT, "max_retries": 0}
    endless = asyncio.create_task(answer(**given).ainvoke("Tell me everything."))
    await asyncio.wait({endless}, timeout=GIVE_UP)
    if not endless.done():
        endless.cancel()
        await asyncio.wait({endless}, timeout=1)
        raise Wrong(
            f"`ainvoke` was still waiting {GIVE_UP:g} s after the call, with "
            f"stream_timeout={LIMIT:g}: nothing bounds it, or another value than "
            "`self.stream_timeout` does."
        )
    _ended_by_the_scope(endless)
    short = await answer(**{**given, "stream_timeout": OTHER_LIMIT}, max_tokens=3).ainvoke("Hi")
    if not short.content:
        raise Wrong("An answer that is in time came back empty.")


def _ended_by_the_scope(task: "asyncio.Task[Any]") -> None:
    if task.cancelled():
        raise Wrong(
            "CancelledError came out of `ainvoke`; the scope has to make TimeoutError of it."
        )
    error = task.exception()
    if error is None:
        raise Wrong("The call has an end although the model has none: something returns early.")
    if isinstance(error, AttributeError) and "NoneType" in str(error):
        raise Wrong("`_agenerate` returned None: return what the parent's method returns.")
    if "coroutine" in str(error):
        raise Wrong("`_agenerate` returned a coroutine: await the parent's method.")
    if "async_generator" in str(error):
        raise Wrong("A `yield` makes an async generator; `_agenerate` returns one result.")
    if isinstance(error, RecursionError):
        raise Wrong("The method calls itself: the parent's method is `super()._agenerate`.")
    if not isinstance(error, TimeoutError):
        raise error
