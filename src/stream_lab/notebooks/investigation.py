"""The whole investigation as tasks: one server, this environment, and no baseline."""

import uuid
from collections.abc import Sequence
from pathlib import Path

from stream_lab.errors import LabError
from stream_lab.notebooks.notebook import Notebook, read_notebook
from stream_lab.notebooks.row import Row, Status
from stream_lab.notebooks.schedule import INTERRUPTED
from stream_lab.notebooks.task import Here, Server, Task

CELL_LIMIT = 60.0
"""Seconds that a cell may take, plus six deadlines."""


class InvestigationError(LabError):
    """Raised when the investigation cannot begin; the text says why and what to do."""


def find_notebooks(folder: Path) -> list[Notebook]:
    """Return the numbered notebooks of a folder, in order.

    Raises:
        InvestigationError: There are none.
        NotebookError: One of them cannot be run.
    """
    found = sorted(folder.glob("[0-9][0-9]*_*.ipynb"))
    if not found:
        raise InvestigationError(
            f"There are no notebooks in {folder}; run this from the project's folder, or name "
            "theirs with --notebooks."
        )
    return [read_notebook(path) for path in found]


def tasks_of(
    notebooks: Sequence[Notebook], folder: Path, server: Server, deadline: float, jobs: int
) -> list[Task]:
    """Make the tasks of an investigation.

    Args:
        notebooks: What to run.
        folder: The folder that the notebooks lie and work in.
        server: The server that they call.
        deadline: Their parameter TIMEOUT, in seconds.
        jobs: Notebooks at a time.

    Returns:
        A task for each notebook; its row says that it was interrupted, until a result replaces it.
    """
    session = uuid.uuid4().hex
    return [
        Task(
            session=session,
            row=Row(
                cell=notebook.name,
                endpoint=server.url or "bundled",
                world="here",
                notebook=notebook.name,
                title=notebook.title,
                parameters={"TIMEOUT": deadline},
                status=Status.INFRA,
                reason=INTERRUPTED,
                jobs=jobs,
            ),
            notebook=notebook.text,
            server=server,
            place=Here(),
            cell_limit=CELL_LIMIT + round(6 * deadline),
            folder=folder.absolute(),
        )
        for notebook in notebooks
    ]
