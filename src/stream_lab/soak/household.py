"""What a process holds: tasks, threads, files, memory, and the library's objects."""

import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from stream_lab.soak.turns import turns_of

OBJECTS = (
    "Reader BoundedStream BoundedIterator Alarm Budget ConnectionTracker CallGroup Cancellation "
    "Retrier TrackedStream Deadline Exchange"
).split()
"""The library's objects that live as long as a call or a connection."""
LONGEST_LOOK = 0.2
"""Seconds in which all objects of the process can be counted, even of a large one."""
EXECUTORS = ("asyncio_", "uvloop_", "ThreadPoolExecutor")
"""Threads of executors, which are kept for later work."""


class Household:
    """Looks at what this process holds."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    @property
    def memory(self) -> int:
        """Return the resident memory in bytes."""
        return int(self._process.memory_info().rss)

    def look(self) -> dict[str, int]:
        """Return what is held, by its name; must be called in an event loop.

        The objects are counted after a garbage collection.
        """
        gc.collect()
        held: Counter[str] = Counter()
        here = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not here and not task.done():
                held[f"task {_name_of(task)}"] += 1
        for thread in threading.enumerate():
            if not thread.name.startswith(EXECUTORS):
                held[f"thread {thread.name}"] += 1
        for name in _files():
            held[f"file {name}"] += 1
        with _alone():
            kinds = [type(each) for each in gc.get_objects()]
        for kind in kinds:
            if kind.__name__ in OBJECTS and kind.__module__.startswith("stream_deadline"):
                held[f"object {kind.__name__}"] += 1
        return dict(held)


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other thread run in a short `with` block.

    One may be making a tuple, and Python takes a second reference to an unfinished one for an
    error (https://github.com/python/cpython/issues/39117).
    """
    with turns_of(LONGEST_LOOK) as before:
        time.sleep(before + 0.001)  # threads that wait for their turn already wait for the old time
        yield


def surplus(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """Return what there is more of than before."""
    return {name: n - before.get(name, 0) for name, n in now.items() if n > before.get(name, 0)}


def _name_of(task: "asyncio.Task[Any]") -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", None) or type(coroutine).__name__


def _files() -> list[str]:
    """Return the kinds of the open files, without their numbers."""
    kinds = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            kinds.append(str(each.readlink()).partition(":")[0])
        except OSError:  # the folder itself, read a moment ago
            continue
    return [each for each in kinds if not each.startswith("/proc/")]  # a sleeper reads those
