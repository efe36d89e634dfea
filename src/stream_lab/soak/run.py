"""Soak round by round, then look for the smallest replay of each violation."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stream_lab.soak.plan import draw
from stream_lab.soak.result import Result
from stream_lab.soak.shrink import kind, shrink
from stream_lab.soak.stage import Played, Stage, Violation, stage
from stream_lab.soak.traced import Traced

MOST_VIOLATIONS = 100
"""Violations after which the soak ends; more of them tell nothing new."""
MOST_KINDS = 3  # kinds of violations for which the smallest replay is looked for


@dataclass(frozen=True)
class Settings:
    """What to play.

    Attributes:
        seed: draws the calls.
        seconds: after which no further round begins.
        calls: how many calls to play at most. None: as many as fit into the time.
        only: the numbers of the calls to play, once. Empty: all from 1 on.
        tasks: how many calls are under way in the event loop.
        threads: how many are under way in threads.
        round: how many calls are played before the process is looked at.
        loop: the event loop of all calls, "asyncio" or "uvloop".
        traced: whether `tracemalloc` counts Python's objects, which takes twice the time.
    """

    seed: str
    seconds: float = 600.0
    calls: int | None = None
    only: Sequence[int] = ()
    tasks: int = 160
    threads: int = 40
    round: int = 600
    loop: str = "asyncio"
    traced: bool = False

    def rounds(self) -> Iterator[list[int]]:
        """Yield the numbers of the calls, round by round."""
        if self.only:
            yield list(self.only)
            return
        first = 1
        while self.calls is None or first <= self.calls:
            last = first + self.round - 1
            yield list(range(first, 1 + (last if self.calls is None else min(last, self.calls))))
            first = last + 1


async def soak(
    settings: Settings,
    *,
    ended: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda words: None,
) -> Result:
    """Play calls and judge them.

    Args:
        settings: what to play.
        ended: called at the end of each call, in any thread.
        say: called with what happens beside the calls.

    Returns:
        The result, also if Ctrl-C or SIGTERM has cut it short.

    Raises:
        LabError: a server does not start.
    """
    result = Result(settings.seed)
    say("The servers start, and the process warms up …")
    async with stage() as made, _cancelled_by_sigterm():
        began = time.monotonic()
        traced = Traced() if settings.traced else None
        try:
            for numbers in settings.rounds():
                result.add(await _play(made, settings, numbers, ended), len(numbers))
                if traced:
                    result.traced.append(traced.look())
                result.took = time.monotonic() - began
                if result.took > settings.seconds or len(result.violations) > MOST_VIOLATIONS:
                    break
            if traced:
                result.grown_at = traced.grown_at()
            result.judge_memory()
            await _shrink_all(made, settings, result, say)
        except asyncio.CancelledError:
            result.interrupted = True
        finally:
            if traced:
                traced.stop()
    return result


@asynccontextmanager
async def _cancelled_by_sigterm() -> AsyncIterator[None]:
    """Let SIGTERM cancel this task, as `asyncio.run` lets Ctrl-C do.

    An exception that a handler raises would meet any of the calls, and be taken for its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    before = signal.getsignal(signal.SIGTERM)
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


async def _play(
    made: Stage, settings: Settings, numbers: Sequence[int], ended: Callable[[], None]
) -> Played:
    plans = [draw(settings.seed, number) for number in numbers]
    return await made.play(plans, tasks=settings.tasks, threads=settings.threads, ended=ended)


async def _shrink_all(
    made: Stage, settings: Settings, result: Result, say: Callable[[str], None]
) -> None:
    """Look for the smallest replay of the first violation of each kind."""

    async def play(numbers: Sequence[int]) -> Played:
        return await _play(made, settings, numbers, lambda: None)

    kinds: dict[str, Violation] = {}
    for violation in result.violations:
        if violation.round:
            kinds.setdefault(kind(violation), violation)
    for violation in list(kinds.values())[:MOST_KINDS]:
        say(f"Looking for the smallest replay of: {violation.what}")
        result.replays.append(await shrink(play, violation))
