"""Pull an answer's stream in one task, or in a new task for each item."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from stream_lab.course.exercise import Wrong

PAUSE = 0.02  # seconds between two items of a source
GIVE_UP = 1.5
"""Seconds after which a checker leaves a stream; every deadline in it is much shorter."""


@dataclass
class Pulled:
    """What came out of a stream.

    Attributes:
        items: The items.
        error: The error that ended it. None: it ended by itself, or the checker left.
        left: Whether the checker left, since the stream had not ended in time.
    """

    items: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    left: bool = False


class Source:
    """A stream for an answer to bound.

    Attributes:
        closed: Whether its clean-up has run.
    """

    def __init__(
        self, count: int | None = None, *, then: BaseException | None = None, stalls: bool = False
    ) -> None:
        """Make a stream of numbers from 0.

        Args:
            count: How many items it has. None: it is endless.
            then: The error that ends it. None: it ends in order.
            stalls: Whether it is silent after its items, and never ends.
        """
        self.closed = False
        self._count, self._then, self._stalls = count, then, stalls
        self.stream = self._items()

    async def _items(self) -> AsyncIterator[int]:
        item = 0
        try:
            while self._count is None or item < self._count:
                await asyncio.sleep(PAUSE)
                yield item
                item += 1
            if self._stalls:
                await asyncio.get_running_loop().create_future()
            if self._then is not None:
                raise self._then
        finally:
            self.closed = True


async def opened(made: object) -> AsyncIterator[Any]:
    """Return the stream that an answer made.

    Raises:
        Wrong: It is not a stream.
        NotImplementedError: The answer is still the skeleton.
    """
    if inspect.iscoroutine(made):
        await asyncio.wait_for(made, GIVE_UP)  # raises what a skeleton raises
        raise Wrong("Your function has no `yield`, so it is not an async generator.")
    if not hasattr(made, "__anext__"):
        raise Wrong(f"A call returned {type(made).__name__}, and not an async generator.")
    stream: AsyncIterator[Any] = made  # type: ignore[assignment]
    return stream


async def in_one_task(stream: AsyncIterator[Any]) -> Pulled:
    """Pull a stream to its end in one new task."""
    pulled = Pulled()

    async def consume() -> None:
        async for item in stream:
            pulled.items.append(item)

    await _finish(consume(), pulled, GIVE_UP)
    return pulled


async def in_fresh_tasks(stream: AsyncIterator[Any], most: int | None = None) -> Pulled:
    """Pull a stream as a chain does, each item in a new task.

    Args:
        stream: The stream.
        most: The number of items after which to leave. None: no number.
    """
    pulled = Pulled()
    loop = asyncio.get_running_loop()
    until = loop.time() + GIVE_UP

    async def step() -> None:
        pulled.items.append(await anext(stream))

    while pulled.error is None and not pulled.left:
        if len(pulled.items) == most or loop.time() > until:
            pulled.left = True
        else:
            await _finish(step(), pulled, until - loop.time())
            if isinstance(pulled.error, StopAsyncIteration):
                pulled.error = None
                break
    return pulled


async def close(stream: Iterable[Any] | AsyncIterator[Any]) -> None:
    """Close a stream, within a second; errors of its clean-up do not matter."""
    if (aclose := getattr(stream, "aclose", None)) is not None:
        task = asyncio.ensure_future(aclose())
        await asyncio.wait({task}, timeout=1)
        task.cancel()
        with suppress(Exception, asyncio.CancelledError):
            await task


def unexpected(pulled: Pulled) -> None:
    """Pass on an error that no time-out explains, such as a wrong name.

    Raises:
        Wrong: `StopAsyncIteration` came out of an async generator.
    """
    error = pulled.error
    if isinstance(error, RuntimeError) and "StopAsyncIteration" in str(error):
        raise Wrong(
            "The source ended, `anext` raised StopAsyncIteration, and your generator let it out: "
            "catch it and return."
        )
    if isinstance(error, asyncio.CancelledError):
        raise Wrong("CancelledError came out of your generator: it has to become TimeoutError.")
    if error is not None and not isinstance(error, TimeoutError):
        raise error


async def _finish(coroutine: Any, pulled: Pulled, seconds: float) -> None:
    """Run a coroutine as a task of its own, and note how it ended."""
    task = asyncio.create_task(coroutine)
    await asyncio.wait({task}, timeout=max(seconds, 0))
    if not task.done():
        pulled.left = True
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
        return
    pulled.error = asyncio.CancelledError() if task.cancelled() else task.exception()
