"""Papermill's client of a kernel, which also notes what went wrong, and how.

Papermill judges a notebook by the outputs in it, which may lack the error (a failed magic, a
handler of its own for exceptions) or have one that is meant (a cell tagged `raises-exception`). The
kernel's reply to each cell is the fact, so this client keeps it.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

import nbformat
from nbclient.exceptions import CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine

from stream_lab.errors import LabError
from stream_lab.notebooks import left_behind

QUIET_KERNEL = ["--IPKernelApp.log_level=40"]
LAST_LINES = 3
"""How many lines of what a kernel printed explain that it did not start."""


class KernelNotStarted(LabError):
    """Raised when a kernel does not start; the text has its own words."""


@dataclass
class Record:
    """What a client saw while it executed a notebook.

    Attributes:
        cell_done: Called with the index of each cell that is done.
        failure: The name and the text of the exception that ended the notebook; None: none did.
        status: The exit status of a kernel that died, negative for a signal; None: it did not die.
        ended: Command lines of processes that the kernel ends when it is shut down.
    """

    cell_done: Callable[[int], None]
    failure: tuple[str, str] | None = None
    status: int | None = None
    ended: list[str] = field(default_factory=list)


class KernelClient(PapermillNotebookClient):  # type: ignore[misc]
    """Papermill's own client, which keeps a record."""

    def __init__(self, notebook: Any, record: Record, **more: Any) -> None:
        super().__init__(notebook, **more)
        self._record = record
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the kernel
        self._kernel: int | None = None

    def start_new_kernel(self, **more: Any) -> None:
        try:
            super().start_new_kernel(stdout=self._printed, stderr=self._printed, **more)
        except Exception as error:
            raise KernelNotStarted(str(error) or type(error).__name__) from error
        self._kernel = self.km.provisioner.pid

    def start_new_kernel_client(self, **more: Any) -> Any:
        try:
            return super().start_new_kernel_client(**more)
        except Exception as error:
            words = self._last_words()
            raise KernelNotStarted(f"{words} ({error})" if words else str(error)) from error

    def papermill_execute_cells(self) -> None:
        try:
            super().papermill_execute_cells()
        finally:
            if self._kernel is not None:
                self._record.ended = left_behind.ended_by_the_kernel(self._kernel)

    def execute_cell(self, cell: Any, cell_index: int, **more: Any) -> Any:
        try:
            return super().execute_cell(cell, cell_index, **more)
        except CellExecutionError as error:
            shown = _shown(cell)
            if shown is None:  # a failed magic, or a handler of the notebook's own
                shown = nbformat.v4.new_output("error", ename=error.ename, evalue=error.evalue)
                cell.outputs.append(shown)
            # The reply to a result that cannot be displayed has no exception.
            fact = shown if error.ename == "NoneType" else error
            self._record.failure = (fact.ename, fact.evalue)
            raise

    async def _async_check_alive(self) -> None:
        """Check the kernel; nbclient does so each second while a cell runs."""
        left_behind.reap_adopted(self._kernel)
        if self.km is not None and self.km.provisioner is not None:
            self._record.status = await self.km.provisioner.poll()
        await super()._async_check_alive()

    def _last_words(self) -> str:
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").splitlines()
        # Of a traceback, only the exception.
        words = [line for line in lines if line.strip() and not line[0].isspace()]
        words = [line for line in words if not line.startswith("Traceback (")]
        return "; ".join(words[-LAST_LINES:])


class RecordingEngine(NBClientEngine):  # type: ignore[misc]
    """Papermill's own engine with the client above; it reports each cell that is done."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        execution_timeout: float | None = None,
        start_timeout: float = 60.0,
        record: Record | None = None,
        **_: object,
    ) -> None:
        assert record is not None
        complete = nb_man.cell_complete

        def cell_complete(cell: Any, cell_index: int = 0, **more: Any) -> None:
            complete(cell, cell_index, **more)
            record.cell_done(cell_index)

        nb_man.cell_complete = cell_complete
        KernelClient(
            nb_man,
            record,
            kernel_name=kernel_name,
            timeout=execution_timeout,
            startup_timeout=start_timeout,
            extra_arguments=list(QUIET_KERNEL),
        ).execute()


def _shown(cell: Any) -> Any:
    """Return a cell's last error output; None: it has none."""
    errors = [output for output in cell.outputs if output["output_type"] == "error"]
    return errors[-1] if errors else None
