"""Where cells run: in this machine's processes, or on a Dask cluster's. Both take tasks and give futures."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from stream_lab.errors import LabError
from stream_lab.extras import require
from stream_lab.regress.run_cell import CellResult, Task, run_cell
from stream_lab.regress.workers import Workers


class ClusterError(LabError):
    """Raised when a cluster cannot be used; the text says why."""


# Of a Dask worker's process: the cluster sends functions there, and those that run and those that stop must meet.
_here = Workers()


def _run_here(task: Task) -> CellResult:
    return run_cell(task, _here)


def _stop_here(session: str) -> None:
    _here.stop(session)


class Executor(Protocol):
    """`slots`: cells at a time. `words`: what it is, for people."""

    slots: int
    words: str

    def submit(self, task: Task) -> "Future[CellResult]": ...

    def gone(self) -> bool:
        """Return whether no worker is left."""
        ...

    def stop(self, session: str) -> None:
        """End at once the cells of a run's session."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Local:
    """Processes of this machine; each runs one cell after the other."""

    def __init__(self, jobs: int) -> None:
        self.slots = jobs
        self.words = f"this machine, {jobs} at a time"
        self._workers = Workers()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="cell")

    def submit(self, task: Task) -> "Future[CellResult]":
        return self._pool.submit(run_cell, task, self._workers)

    def gone(self) -> bool:
        return False

    def stop(self, session: str) -> None:
        self._workers.stop(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True)
        self._workers.retire()


class Cluster:
    """A Dask cluster that runs already. A cell whose worker is lost goes to another one."""

    def __init__(self, address: str) -> None:
        """Connect, to tcp://host:8786.

        Raises:
            MissingExtra: Dask is not installed.
            ClusterError: no scheduler answers, or it has no worker.
        """
        require("distributed", extra="dask")
        from distributed import Client

        try:
            self._client = Client(address, timeout="10s", set_as_default=False)
            self._client.wait_for_workers(1, timeout=10)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"No Dask cluster with a worker answers at {address} ({type(error).__name__}); start one."
            ) from None
        self.slots = sum(self._client.nthreads().values())
        self.words = f"a Dask cluster, {self.slots} at a time"
        self._executor = self._client.get_executor(pure=False)

    def submit(self, task: Task) -> "Future[CellResult]":
        future: Future[CellResult] = self._executor.submit(_run_here, task)
        return future

    def gone(self) -> bool:
        return not self._client.nthreads()

    def stop(self, session: str) -> None:
        self._client.run(_stop_here, session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()
