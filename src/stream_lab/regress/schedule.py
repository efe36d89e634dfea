"""Run tasks over an executor: as many at a time as it has slots, and as each endpoint that is being asked allows."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import replace

from stream_lab.regress.executors import Executor
from stream_lab.regress.row import Status
from stream_lab.regress.run_cell import CellResult, Task

LOOKS_EVERY = 1.0
ALONE_FOR = 30.0
"""Seconds without any worker after which what is left cannot be told."""


def run_all(
    tasks: list[Task], executor: Executor, tell: Callable[[list[str]], None]
) -> Iterator[CellResult]:
    """Give each task's result as it comes. Tasks begin about in the order given.

    tell: is given the names of the cells that are running, whenever they change.
    """
    waiting = list(tasks)
    running: dict[Future[CellResult], Task] = {}
    alone_since: float | None = None
    while waiting or running:
        for task in _next(waiting, list(running.values()), executor.slots):
            waiting.remove(task)
            running[executor.submit(task)] = task
        tell([task.row.cell for task in running.values()])
        done, _ = wait(running, timeout=LOOKS_EVERY, return_when=FIRST_COMPLETED)
        for future in done:
            yield _result(running.pop(future), future)
        alone_since = None if not executor.gone() else alone_since or time.monotonic()
        if alone_since is not None and time.monotonic() - alone_since > ALONE_FOR:
            for task in [*running.values(), *waiting]:
                yield CellResult(
                    replace(task.row, status=Status.INFRA, reason="no worker was left to play it")
                )
            return


def _next(waiting: list[Task], running: list[Task], slots: int) -> list[Task]:
    """Choose the tasks that may begin now, in order.

    Two of one notebook side by side would want the same at the same time, so another goes first.
    """
    left, now = list(waiting), list(running)
    while free := [
        task
        for task in left
        if len(now) < min(each.endpoint.limit or slots for each in [*now, task])
    ]:
        notebooks = {task.row.notebook for task in now}
        task = next((task for task in free if task.row.notebook not in notebooks), free[0])
        left.remove(task)
        now.append(task)
    return now[len(running) :]


def _result(task: Task, future: Future[CellResult]) -> CellResult:
    try:
        return future.result()
    except (
        Exception,
        CancelledError,
    ) as error:  # of the machinery: a worker that is lost for good, a task that cannot be sent
        return CellResult(
            replace(
                task.row,
                status=Status.INFRA,
                reason=f"it could not be played: {type(error).__name__}: {error}"[:400],
            )
        )
