"""Streams for exercises: sources that misbehave, and a consumer that notes what it gets."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from stream_lab.course.exercise import Wrong

SLACK = 0.35
"""Seconds after the deadline that still count as on time, on a busy machine."""
GIVE_UP = 0.8
"""Seconds after the deadline at which the consumer leaves."""


@dataclass
class Seen:
    """What a consumer saw of a stream; times are seconds since it began.

    Attributes:
        items: Each item with the time at which it arrived.
        ended: When the stream ended. None: it had not ended when the consumer left.
        error: The error that ended it. None: it ended as a whole answer does.
    """

    items: list[tuple[float, Any]] = field(default_factory=list)
    ended: float | None = None
    error: BaseException | None = None

    def after(self, moment: float) -> int:
        """Return how many items arrived after a moment."""
        return sum(at > moment for at, _ in self.items)

    @property
    def values(self) -> list[Any]:
        return [item for _, item in self.items]


@dataclass
class Source:
    """A source of numbers that notes when it was closed.

    Attributes:
        gap: Seconds before each item; 0: the source never waits.
        count: Items before `last`. None: it never ends.
        last: What follows the items: "end", "silence" or "error".
        closed: When its clean-up ran, on the loop's clock. None: it has not.
    """

    gap: float = 0.0
    count: int | None = None
    last: str = "end"
    closed: float | None = None

    async def items(self) -> AsyncIterator[int]:
        """Yield the items, and then do what comes last."""
        number = 0
        try:
            while self.count is None or number < self.count:
                if self.gap:
                    await asyncio.sleep(self.gap)
                yield number
                number += 1
            if self.last == "silence":
                await asyncio.Event().wait()
            if self.last == "error":
                raise ValueError("the server broke")
        finally:
            self.closed = asyncio.get_running_loop().time()


def opened(answer: Callable[..., Any], *arguments: Any) -> AsyncIterator[Any]:
    """Call the reader's function, and return the stream that it gives.

    Raises:
        Wrong: It gives no stream.
    """
    if not callable(answer):
        raise Wrong(f"The answer is a function, and that is of type {type(answer).__name__}.")
    stream = answer(*arguments)
    if inspect.iscoroutine(stream):
        _raise_if_untouched(stream)
        raise Wrong("The function has no `yield`, so it gives no stream: hand each item over.")
    if inspect.isgenerator(stream):
        raise Wrong("The function is a plain `def`, and an async generator is `async def`.")
    if stream is None:
        raise Wrong("The function returned None: it should hand items over with `yield`.")
    if not hasattr(stream, "__aiter__"):
        raise Wrong(f"The function returned {type(stream).__name__}, which is no async stream.")
    return aiter(stream)


def _raise_if_untouched(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Raise the NotImplementedError of a skeleton, which has no `yield` either."""
    try:
        coroutine.send(None)
    except NotImplementedError:
        raise
    except BaseException:
        return  # it is wrong whatever it does
    finally:
        coroutine.close()


async def consume(
    stream: AsyncIterator[Any], seconds: float, *, pause: float = 0.0, tasks: bool = False
) -> Seen:
    """Read a stream until it ends, or until it is clear that it will not.

    Args:
        stream: The stream.
        seconds: Its deadline, in seconds from now.
        pause: Seconds that the consumer takes for each item.
        tasks: Whether each item is pulled by a new task, as in a chain.

    Raises:
        Wrong: The consumer's own task was cancelled.
    """
    loop = asyncio.get_running_loop()
    started, seen = loop.time(), Seen()

    async def pull() -> Any:
        return await anext(stream)

    async def read() -> None:
        while loop.time() - started < seconds + GIVE_UP:  # a source may never let a timer act
            item = await (asyncio.create_task(pull()) if tasks else pull())
            seen.items.append((loop.time() - started, item))
            if pause:
                await asyncio.sleep(pause)

    reading = asyncio.create_task(read())
    await asyncio.wait({reading}, timeout=seconds + GIVE_UP)
    if not reading.done():
        reading.cancel()
        await asyncio.wait({reading}, timeout=0.1)
        return seen
    if reading.cancelled():
        raise Wrong(
            "The consumer's task was cancelled while it was busy outside your code: a scope that "
            "is open at a `yield` does that. Close it before you hand an item over."
        )
    error = reading.exception()
    if error is not None:
        seen.ended = loop.time() - started
        seen.error = None if isinstance(error, StopAsyncIteration) else error
    return seen


def wrong_type(error: BaseException) -> Wrong:
    """Return what to say about an error that should have been another one."""
    text = str(error)
    if isinstance(error, NotImplementedError):
        raise error
    if "StopAsyncIteration" in text:
        return Wrong(
            "StopAsyncIteration came out of your code: `anext` raises it at the source's end. "
            "Catch it, and `return`."
        )
    if isinstance(error, asyncio.CancelledError):
        return Wrong("CancelledError came out of your code: raise TimeoutError at the deadline.")
    if isinstance(error, BaseExceptionGroup):
        return Wrong(
            "The error came out wrapped in an ExceptionGroup, as a TaskGroup does it: make the "
            "task with `asyncio.create_task`, so that the error stays what it is."
        )
    if isinstance(error, RuntimeError) and "task" in text.lower():
        return Wrong(
            f"It failed with RuntimeError: {text}. A scope is left in another task than it was "
            "entered in: do not hold it across `yield`."
        )
    raise error
