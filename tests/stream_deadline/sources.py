"""Streams that record how they are used, and a virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any, Self

import looptime


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on a virtual clock, and check that it leaves no task."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def guarded() -> None:
            await test(*args, **kwargs)
            for _ in range(3):
                await asyncio.sleep(0)
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"left behind: {left}"

        with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
            runner.run(guarded())

    return run


def elapsed() -> float:
    """Virtual seconds since the test began."""
    return asyncio.get_running_loop().time()


class Source(AsyncIterator[int]):
    """A counting source: its times, and the number of items before its end or stall.

    Attributes:
        sent: the items that were pulled out of it.
        closed: how often it was closed.
        closed_at: when, in virtual seconds.
        cancelled: how often a cancellation reached it.
    """

    def __init__(
        self,
        every: float = 1.0,
        *,
        first: float | None = None,
        ends: int | None = None,
        stalls: int | None = None,
        fails: int | None = None,
        closing: float = 0.0,
        deaf: int = 0,
    ) -> None:
        """`fails`: raise after so many items. `closing`: seconds a clean-up takes. `deaf`: cancellations it swallows."""
        self.sent: list[int] = []
        self.closed = 0
        self.closed_at: float | None = None
        self.cancelled = 0
        self._every, self._first, self._ends, self._stalls = (
            every,
            every if first is None else first,
            ends,
            stalls,
        )
        self._fails, self._closing, self._deaf = fails, closing, deaf

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        number = len(self.sent)
        if number == self._ends:
            raise StopAsyncIteration
        if number == self._fails:
            raise ConnectionResetError("the server is gone")
        wait = 1e9 if number == self._stalls else self._first if number == 0 else self._every
        if wait:
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled > self._deaf:
                    raise
        self.sent.append(number)
        return number

    async def aclose(self) -> None:
        self.closed += 1
        await asyncio.sleep(self._closing)
        self.closed_at = elapsed()
