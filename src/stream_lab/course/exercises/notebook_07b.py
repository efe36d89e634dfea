"""The checkers of notebook 07b: a reader, one budget, and three bounds."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self

from stream_deadline import bounded_sync
from stream_lab.course.bounded_streams import SLACK, Source, consume, opened, wrong_type
from stream_lab.course.exercise import Wrong, exercise
from stream_lab.course.own_loop import in_own_loop

DEADLINE = 0.3  # seconds


@exercise(
    "07b.1",
    hints=(
        "What in your function runs while no item is pulled?",
        "Give the source to a task of its own, which puts items into an `asyncio.Queue`; let "
        "`loop.call_at` cancel that task.",
    ),
    idea="A task reads the source into a queue, and puts a mark at its end; a timer cancels the "
    "task; the generator takes from the queue, reads the clock before each `yield`, awaits the "
    "task for its error, and cancels task and timer in `finally`.",
)
async def bounded_by_a_reader(answer: Callable[..., Any]) -> None:
    """Check a wrapper whose source is closed at the deadline though no item is pulled."""
    await in_own_loop(lambda: _try_reader(answer))


async def _try_reader(answer: Callable[..., Any]) -> None:
    await _finite(answer)
    await _suspended(answer)
    await _silent(answer)
    await _break(answer)
    await _error(answer)


async def _finite(answer: Callable[..., Any]) -> None:
    seen = await consume(opened(answer, Source(0.002, 30).items(), 1.0), 1.0)
    if seen.ended is None:
        raise Wrong(
            f"The source ended, and your stream did not: after {len(seen.items)} of 30 items it "
            "waits for ever. Put a mark into the queue when the source is at its end."
        )
    if isinstance(seen.error, TimeoutError):
        raise Wrong("It raised TimeoutError for a source that ended long before the deadline.")
    if seen.error is not None:
        raise wrong_type(seen.error)
    if seen.values != list(range(30)):
        raise Wrong(f"Of the 30 items of a source that ended in time, {len(seen.items)} came.")


async def _suspended(answer: Callable[..., Any]) -> None:
    source, loop = Source(0.01), asyncio.get_running_loop()
    started = loop.time()
    stream = opened(answer, source.items(), DEADLINE)

    async def hold() -> None:
        await anext(stream)
        await asyncio.sleep(started + DEADLINE + 2 * SLACK - loop.time())

    holding = asyncio.create_task(hold())
    await asyncio.wait({holding})
    if holding.cancelled():
        raise Wrong(
            "The consumer was cancelled in a wait of its own: your scope is open at a `yield`, and "
            "cancels the task that pulls. Only the source should be stopped."
        )
    if (error := holding.exception()) is not None:
        raise wrong_type(error)
    if source.closed is None:
        raise Wrong(
            "The consumer took one item and slept, and the source was still open long after the "
            "deadline. Does any of your code run while no item is pulled? If a task does, does it "
            "also close the source with `aclose()` when it stops in a wait for room in the queue?"
        )
    if source.closed - started > DEADLINE + SLACK:
        raise Wrong("The source was closed, but long after the deadline.")
    if source.closed - started < DEADLINE * 0.9:
        raise Wrong("The source was closed before the deadline, while its consumer was busy.")
    pulling = asyncio.create_task(_pull(stream))
    await asyncio.wait({pulling}, timeout=1.0)
    if not pulling.done():
        pulling.cancel()
        raise Wrong("The pull after the deadline neither returned nor raised.")
    error = asyncio.CancelledError() if pulling.cancelled() else pulling.exception()
    if error is None:
        raise Wrong(
            "The pull after the deadline still got an item, which had been read ahead: read the "
            "clock before each hand-over, too."
        )
    if isinstance(error, StopAsyncIteration):
        raise Wrong(
            "The pull after the deadline ended as if the answer were whole: raise TimeoutError."
        )
    if not isinstance(error, TimeoutError):
        raise wrong_type(error)


async def _pull(stream: Any) -> Any:
    return await anext(stream)


async def _silent(answer: Callable[..., Any]) -> None:
    source = Source(0.01, 3, last="silence")
    seen = await consume(opened(answer, source.items(), DEADLINE), DEADLINE)
    if seen.ended is None and source.closed is not None:
        raise Wrong(
            "The source was stopped at the deadline, and nothing woke the consumer, which waits "
            "for ever: put a mark into the queue in a `finally` of the reader."
        )
    if seen.ended is None:
        raise Wrong("With a source that falls silent, the consumer waits past the deadline.")
    if seen.error is None:
        raise Wrong(
            "With a source that falls silent, your stream ended as if the answer were whole: "
            "raise TimeoutError."
        )
    if not isinstance(seen.error, TimeoutError):
        raise wrong_type(seen.error)


async def _break(answer: Callable[..., Any]) -> None:
    before, source = asyncio.all_tasks(), Source(0.01)
    stream = opened(answer, source.items(), 5.0)
    async for _ in stream:
        break
    if (close := getattr(stream, "aclose", None)) is not None:
        await close()
    del stream
    await asyncio.sleep(0.1)
    if source.closed is None or asyncio.all_tasks() - before:
        raise Wrong(
            "The consumer left after one item, and something was left behind: the reader goes on. "
            "Cancel it in a `finally`."
        )


async def _error(answer: Callable[..., Any]) -> None:
    seen = await consume(opened(answer, Source(0.005, 2, last="error").items(), 1.0), 1.0)
    if seen.ended is None:
        raise Wrong(
            "The source raised ValueError, and the consumer waits for ever: the mark at the end "
            "belongs into a `finally`."
        )
    if seen.error is None:
        raise Wrong(
            "The source raised ValueError, and the consumer took two items for the whole answer: "
            "await the reader once it has ended."
        )
    if isinstance(seen.error, BaseExceptionGroup):
        raise wrong_type(seen.error)
    if not isinstance(seen.error, ValueError):
        raise Wrong(f"The source raised ValueError; its consumer got {type(seen.error).__name__}.")


BUDGET = 0.4  # seconds


class Model:
    """A model whose answers take a while, and whose calls a `deadline` bounds."""

    def __init__(self, takes: Sequence[float], timeout: float | None = None) -> None:
        """Make a model.

        Args:
            takes: Seconds for each of its answers, in order.
            timeout: Seconds for each call. None: only a `deadline` bounds it.
        """
        self._takes = takes
        self._timeout = timeout
        self.answered: list[str] = []

    def bind(self, *, timeout: float | None = None, **_: Any) -> Self:
        """Return a model with a time-out of its own, which answers from the same list."""
        bound = type(self)(self._takes, timeout)
        bound.answered = self.answered
        return bound

    def invoke(self, question: str, *_: Any, timeout: float | None = None, **__: Any) -> Any:
        """Return an answer after its time.

        Raises:
            StreamDeadlineExceeded: A bound was reached before.
        """
        takes = self._takes[min(len(self.answered), len(self._takes) - 1)]
        cut = threading.Event()

        def answer() -> Iterator[str]:
            cut.wait(takes)
            yield f"answer to {question}"

        bound = self._timeout if timeout is None else timeout
        text = "".join(bounded_sync(answer(), bound, interrupt=cut.set))
        self.answered.append(question)
        return SimpleNamespace(content=text, text=text)


@exercise(
    "07b.2",
    hints=(
        "How many budgets does your function have? It needs one.",
        "`with deadline(seconds):` bounds every call inside the block by what is left.",
    ),
    idea="One `with deadline(seconds):` around both calls; the second has what the first left.",
)
async def one_budget(answer: Callable[..., Any]) -> None:
    """Check a function whose two calls share one budget."""
    if not callable(answer):
        raise Wrong(f"The answer is a function, and that is of type {type(answer).__name__}.")
    if inspect.iscoroutinefunction(answer):
        raise Wrong("The function is called without `await`: write a plain `def`.")

    async def work() -> None:
        await asyncio.to_thread(_try_budget, answer)

    await in_own_loop(work)


def _try_budget(answer: Callable[..., Any]) -> None:
    model = Model((0.0, 0.0))
    result = answer(model, "first", "second", 5.0)
    if model.answered != ["first", "second"]:
        raise Wrong(
            f"The model should answer first and then second, and it answered {model.answered}."
        )
    if not isinstance(result, (list, tuple)) or len(result) != 2:
        raise Wrong("The function should return both answers, as a list.")

    model = Model((0.3, 0.05))
    try:
        answer(model, "first", "second", 0.5)
    except TimeoutError:
        raise Wrong(
            "With 0.5 s for both, calls of 0.3 s and 0.05 s were cut: each has a share of its own. "
            "One budget gives the second call what the first has left."
        ) from None

    model = Model((0.3, 0.3))
    try:
        result = answer(model, "first", "second", BUDGET)
    except TimeoutError:
        if len(model.answered) == 2:
            raise Wrong(
                "The error came after both calls had run to their end: the budget must end the "
                "call that is under way."
            ) from None
        return
    if len(model.answered) == 2:
        raise Wrong(
            f"Two calls of 0.3 s ran to their end with {BUDGET:g} s for both: each had the whole "
            "time for itself, or had no bound. Put one `with deadline(seconds):` around both."
        )
    raise Wrong(
        f"At the deadline your function returned {result!r:.60}: let the error out, so that the "
        "caller knows that the answer is missing."
    )


BOUNDS = ("first_chunk_timeout", "idle_timeout", "timeout", "none")
SYMPTOMS: dict[str, tuple[str, dict[str, str]]] = {
    "a": (
        "first_chunk_timeout",
        {
            "idle_timeout": "`idle_timeout` measures between chunks, and no chunk has come.",
            "timeout": "`timeout` would end it after 60 s; another bound ends it after 10.",
            "none": "For 40 s the model says nothing, and one bound is about just that.",
        },
    ),
    "b": (
        "idle_timeout",
        {
            "first_chunk_timeout": "The first chunk came in time, and then that bound is done.",
            "timeout": "`timeout` would end it after 60 s; another bound ends it sooner.",
            "none": "Comments are bytes, which content a socket; but they say nothing new.",
        },
    ),
    "c": (
        "timeout",
        {
            "first_chunk_timeout": "The first chunk came at once.",
            "idle_timeout": "The model says something five times a second, so it is never idle.",
            "none": "The call goes on for ten minutes, and one bound is about the whole call.",
        },
    ),
    "d": (
        "none",
        {
            "first_chunk_timeout": "A thought says something: the first chunk came after 1 s.",
            "idle_timeout": "The model thinks and then answers without a pause; it is never idle.",
            "timeout": "The whole answer is there after 50 s, and `timeout` is 60.",
        },
    ),
}
"""By letter: the bound that ends the call, and what to say about each of the others."""


@exercise(
    "07b.3",
    hints=(
        "For each call, write down when the first chunk came, the longest pause between two that "
        "say something, and the end.",
        "Compare these three with 10, 5 and 60 seconds. The first that is exceeded ends the call.",
    ),
    idea="`first_chunk_timeout` is about the beginning, `idle_timeout` about pauses, `timeout` "
    "about the whole. Reasoning says something; comments do not.",
)
def which_bound(answer: Any) -> None:
    """Check which bound ends each of four calls."""
    if not isinstance(answer, Mapping):
        raise Wrong('The answer is a dictionary, such as {"a": "timeout", "b": …}.')
    if missing := [letter for letter in SYMPTOMS if letter not in answer]:
        raise Wrong(f"There is no answer for {', '.join(missing)}.")
    for letter, (right, messages) in SYMPTOMS.items():
        given = "none" if answer[letter] is None else str(answer[letter])
        if given not in BOUNDS:
            raise Wrong(f"{letter}: choose one of {', '.join(BOUNDS)}; got {given!r}.")
        if given != right:
            raise Wrong(f"{letter}: {messages[given]}")
