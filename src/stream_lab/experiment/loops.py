"""What event loops do: repeated runs, the state of asyncio, and when a wait ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from stream_lab.experiment.wait import Wait

NO_ERROR = "no error"
REFUSED, SAME_LOOP, ANOTHER_LOOP = "refused", "on the kernel's loop", "on another loop"


@dataclass(frozen=True)
class Runs:
    """What came of several runs with one client.

    Attributes:
        outcomes: "ok" or "failed" for each run, joined.
        succeeded: how many of them succeeded.
        cause: the text of the error at the bottom of the failures. Empty: there was none.
    """

    outcomes: str
    succeeded: int
    cause: str


def repeated_runs(ask: Callable[[], Coroutine[Any, Any, Any]], times: int = 4) -> Runs:
    """Call asyncio.run several times, as a script does.

    Args:
        ask: makes the coroutine of a run.
        times: the number of runs.
    """
    outcomes, causes = [], set()
    for _ in range(times):
        try:
            asyncio.run(ask())
            outcomes.append("ok")
        except Exception as raised:
            error: BaseException = raised
            while below := error.__cause__ or error.__context__:  # SDKs wrap it
                error = below
            causes.add(str(error))
            outcomes.append("failed")
    return Runs(" / ".join(outcomes), outcomes.count("ok"), " ".join(sorted(causes)))


@dataclass(frozen=True)
class Ended(Wait):
    """A wait with its outcome: "TimeoutError", or "no error"."""

    outcome: str = NO_ERROR

    def __str__(self) -> str:
        return f"{self.outcome} {self.verdict}"


async def ended(waiting: Awaitable[object], *, due: float) -> Ended:
    """Wait for something, and return how it ended and when.

    Args:
        waiting: what to wait for.
        due: seconds after which it should end.
    """
    started, outcome = time.monotonic(), NO_ERROR
    try:
        await waiting
    except TimeoutError:
        outcome = "TimeoutError"
    return Ended(due, time.monotonic() - started, outcome)


async def state_of_asyncio() -> dict[str, str]:
    """Return what asyncio.run does here, and what tasks and futures are written in."""
    return {
        "asyncio.run in a running loop": _run_in_a_running_loop(),
        "asyncio.Task is written in": _language(asyncio.Task),
        "asyncio.Future is written in": _language(asyncio.Future),
    }


async def cost_of_a_task() -> float:
    """Return the microseconds to create a task and await it, the best of five."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(2000):
            await asyncio.create_task(_nothing())
        best = min(best, time.perf_counter() - started)
    return best / 2000 * 1e6


def _run_in_a_running_loop() -> str:
    coroutine = _loop()
    try:
        loop = asyncio.run(coroutine)
    except RuntimeError:
        coroutine.close()
        return REFUSED
    return SAME_LOOP if loop is asyncio.get_running_loop() else ANOTHER_LOOP


def _language(kind: type) -> str:
    return "C" if kind.__module__ == "_asyncio" else "Python"


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def _nothing() -> None:
    pass
