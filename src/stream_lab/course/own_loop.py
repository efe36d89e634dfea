"""A reader's coroutine in a thread and an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from stream_lab.course.exercise import Wrong

T = TypeVar("T")
LIMIT = 10.0
"""Seconds that the work may take."""


async def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]], *, limit: float = LIMIT) -> T:
    """Run work that may block its event loop, so that the kernel's own loop goes on.

    The thread is a daemon: an answer that never ends does not keep the kernel from ending.

    Args:
        work: Makes the coroutine.
        limit: Seconds after which the work is given up.

    Raises:
        Wrong: The work has not ended in time, or a cancellation ended it.
        Exception: The work raised it.
    """
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
