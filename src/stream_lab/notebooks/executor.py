"""Where notebooks run: an executor takes tasks and gives futures. This machine's is `Local`."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self

from stream_lab.notebooks.run_cell import Tell, run_cell
from stream_lab.notebooks.task import CellResult, Task
from stream_lab.notebooks.workers import Workers


class Executor(Protocol):
    """Runs tasks, several at a time.

    Attributes:
        slots: Notebooks at a time.
        words: What the executor is, for people.
    """

    slots: int
    words: str

    def submit(self, task: Task, tell: Tell) -> "Future[CellResult]":
        """Start a task.

        Args:
            task: The notebook.
            tell: Called with the number of cells done; an executor on other machines may not call
                it.
        """
        ...

    def gone(self) -> bool:
        """Return whether no worker is left."""
        ...

    def stop(self, session: str) -> None:
        """End at once the notebooks of a session."""
        ...


class Local:
    """Processes of this machine; each runs one notebook after the other."""

    def __init__(self, jobs: int) -> None:
        self.slots = jobs
        self.words = f"this machine, {jobs} at a time"
        self._workers = Workers()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="notebook")

    def submit(self, task: Task, tell: Tell) -> "Future[CellResult]":
        return self._pool.submit(run_cell, task, self._workers, tell)

    def gone(self) -> bool:
        return False

    def stop(self, session: str) -> None:
        self._workers.stop(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)
        self._workers.retire()
