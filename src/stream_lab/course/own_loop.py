"""A reader's coroutine in a thread and an event loop of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from stream_lab.background import Background
from stream_lab.course.exercise import Wrong

T = TypeVar("T")
LIMIT = 10.0
"""Seconds that the work may take."""
TRIES = 3
"""How often work is tried whose verdict may be that of a busy machine."""
BEAT, BUSY = 0.02, 0.06
"""Seconds between two looks at the clock, and by how much one is late on a busy machine."""


async def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]], *, limit: float = LIMIT) -> T:
    """Run work that may block its event loop, beside the kernel's own loop.

    The thread is a daemon: an answer that never ends does not keep the kernel from ending. Work
    that finds an answer wrong while the machine is busy is tried again, since it measures times.

    Args:
        work: Makes the coroutine.
        limit: Seconds after which the work is given up.

    Raises:
        Wrong: The work has not ended in time, or a cancellation ended it.
        Exception: The work raised it.
    """
    for _ in range(TRIES - 1):
        started = time.monotonic()
        with _Pulse() as pulse:
            try:
                return await _once(work, limit)
            except Wrong:
                if not pulse.was_late or time.monotonic() - started >= limit:
                    raise
    return await _once(work, limit)


class _Pulse(Background):
    """A thread that notes whether it is woken late, which shows a busy machine."""

    def __init__(self) -> None:
        super().__init__("pulse")
        self.was_late = False

    def _run(self) -> None:
        before = time.monotonic()
        while not self._over.wait(BEAT):
            now = time.monotonic()
            self.was_late = self.was_late or now - before > BEAT + BUSY
            before = now


async def _once(work: Callable[[], Coroutine[Any, Any, T]], limit: float) -> T:
    ended: Future[T] = Future()

    def run() -> None:
        try:
            ended.set_result(asyncio.run(work()))
        except asyncio.CancelledError:
            ended.set_exception(Wrong("Your code ended with CancelledError: it let one out."))
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, name="an answer", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(ended)), limit)
    except TimeoutError:
        if ended.done():
            raise
        raise Wrong(
            f"Your code had not ended after {limit:g} seconds: "
            "something in it neither yields nor waits."
        ) from None
