"""A Dask cluster as an executor: the same tasks, on other machines."""

from concurrent.futures import Future
from typing import Self

from stream_lab.errors import LabError
from stream_lab.extras import require
from stream_lab.notebooks.run_cell import Tell, run_cell
from stream_lab.notebooks.task import CellResult, Task
from stream_lab.notebooks.workers import Workers

ANSWERS_WITHIN = 10.0
"""Seconds for a scheduler to answer, and then for a first worker."""


class ClusterError(LabError):
    """Raised when a cluster cannot be used; the text says why."""


# Of a Dask worker's process: the functions that run tasks and those that stop them must share it.
_here = Workers()


def _run_here(task: Task) -> CellResult:
    return run_cell(task, _here)


def _stop_here(session: str) -> None:
    _here.stop(session)


class Cluster:
    """A running Dask cluster; a cell whose worker is lost goes to another one."""

    def __init__(self, address: str) -> None:
        """Connect to a scheduler.

        Args:
            address: As tcp://host:8786.

        Raises:
            MissingExtra: Dask is not installed.
            ClusterError: No scheduler answers, or it has no worker.
        """
        require("distributed", extra="dask")
        from distributed import Client

        try:
            self._client = Client(address, timeout=ANSWERS_WITHIN, set_as_default=False)
            self._client.wait_for_workers(1, timeout=ANSWERS_WITHIN)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"No Dask cluster with a worker answers at {address} ({type(error).__name__}); "
                "start one."
            ) from None
        self.slots = sum(self._client.nthreads().values())
        self.words = f"a Dask cluster, {self.slots} at a time"
        self._executor = self._client.get_executor(pure=False)

    def submit(self, task: Task, tell: Tell) -> "Future[CellResult]":
        future: Future[CellResult] = self._executor.submit(_run_here, task)
        return future

    def gone(self) -> bool:
        return not self._client.nthreads()

    def stop(self, session: str) -> None:
        self._client.run(_stop_here, session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()
