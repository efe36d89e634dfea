"""Where cells are played: in this machine's processes, or on a Dask cluster's. Both take tasks and give futures."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from stream_lab.regress.play import Played, Task, play, retire, stop


class ClusterError(RuntimeError):
    """Raised when a cluster cannot be used; the text says why."""


class Executor(Protocol):
    """`slots`: cells at a time. `words`: what it is, for people."""

    slots: int
    words: str

    def submit(self, task: Task) -> "Future[Played]": ...

    def gone(self) -> bool:
        """Whether nobody is left who could play."""
        ...

    def stop(self, sitting: str) -> None:
        """End at once what is being played of a run's sitting."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Local:
    """So many processes of this machine; each serves one cell after the other."""

    def __init__(self, jobs: int) -> None:
        self.slots = jobs
        self.words = f"this machine, {jobs} at a time"
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="cell")

    def submit(self, task: Task) -> "Future[Played]":
        return self._pool.submit(play, task)

    def gone(self) -> bool:
        return False

    def stop(self, sitting: str) -> None:
        stop(sitting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True)
        retire()


class Cluster:
    """A Dask cluster that runs already. A cell whose worker is lost goes to another one."""

    def __init__(self, address: str) -> None:
        """Connect, to tcp://host:8786.

        Raises:
            ClusterError: Dask is not installed, nobody answers, or no worker is there.
        """
        try:
            from distributed import Client
        except ImportError:
            raise ClusterError("A cluster needs Dask; install it with: pip install 'stream-deadline[dask]'") from None
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

    def submit(self, task: Task) -> "Future[Played]":
        future: Future[Played] = self._executor.submit(play, task)
        return future

    def gone(self) -> bool:
        return not self._client.nthreads()

    def stop(self, sitting: str) -> None:
        self._client.run(stop, sitting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()
