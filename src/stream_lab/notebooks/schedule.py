"""Run tasks on an executor, several at a time, within each server's limit."""

import time
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import replace
from functools import partial
from typing import Protocol

from stream_lab.notebooks.executor import Executor
from stream_lab.notebooks.row import Status
from stream_lab.notebooks.task import CellResult, Task

LOOKS_EVERY = 1.0
ALONE_FOR = 30.0
"""Seconds without any worker after which the tasks that are left cannot be told."""
ENDS_WITHIN = 5.0
"""Seconds that a stopped notebook has to hand in what it has shown."""
INTERRUPTED = "interrupted"


class Watcher(Protocol):
    """Follows a run."""

    def running(self, names: list[str]) -> None:
        """Note which notebooks run now; called whenever they may have changed."""
        ...

    def cell(self, name: str, done: int) -> None:
        """Note how many cells of a notebook are done; may be called from any thread."""
        ...


def run_all(tasks: list[Task], executor: Executor, watcher: Watcher) -> Generator[CellResult]:
    """Yield each task's result as it comes; start the tasks about in the order given.

    Ctrl-C stops the notebooks that run, yields what they have shown, and is raised again. Closing
    the generator stops them as well.
    """
    waiting = list(tasks)
    running: dict[Future[CellResult], Task] = {}
    alone_since: float | None = None
    try:
        while waiting or running:
            for task in _next(waiting, list(running.values()), executor.slots):
                waiting.remove(task)
                running[executor.submit(task, partial(watcher.cell, task.row.cell))] = task
            watcher.running([task.row.cell for task in running.values()])
            done, _ = wait(running, timeout=LOOKS_EVERY, return_when=FIRST_COMPLETED)
            for future in done:
                yield _result(running.pop(future), future)
            alone_since = None if not executor.gone() else alone_since or time.monotonic()
            if alone_since is not None and time.monotonic() - alone_since > ALONE_FOR:
                for task in [*running.values(), *waiting]:
                    yield _lost(task, "no worker was left to play it")
                return
    except KeyboardInterrupt:
        _stop(tasks, executor)
        for future in wait(running, timeout=ENDS_WITHIN).done:
            result = _result(running[future], future)
            row = replace(result.row, status=Status.INFRA, reason=INTERRUPTED, by_claims=False)
            yield replace(result, row=row, interrupted=True)
        raise
    except BaseException:
        _stop(tasks, executor)
        raise


def _stop(tasks: list[Task], executor: Executor) -> None:
    for session in {task.session for task in tasks}:
        executor.stop(session)


def _next(waiting: list[Task], running: list[Task], slots: int) -> list[Task]:
    """Choose the tasks that may begin now, in order.

    Two runs of one notebook would want the same resources at the same time, so another goes first.
    """
    left, now = list(waiting), list(running)
    while free := [
        task for task in left if len(now) < min(each.server.limit or slots for each in [*now, task])
    ]:
        notebooks = {task.row.notebook for task in now}
        task = next((task for task in free if task.row.notebook not in notebooks), free[0])
        left.remove(task)
        now.append(task)
    return now[len(running) :]


def _result(task: Task, future: Future[CellResult]) -> CellResult:
    try:
        return future.result()
    except (Exception, CancelledError) as error:  # a lost worker, a task that cannot be sent
        return _lost(task, f"it could not be played: {type(error).__name__}: {error}"[:400])


def _lost(task: Task, reason: str) -> CellResult:
    return CellResult(replace(task.row, status=Status.INFRA, reason=reason))
