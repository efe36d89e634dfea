"""Execute notebooks with papermill: the process behind `stream_lab.notebooks.worker.Worker`.

The process reads one JSON object a line from standard input (the arguments of `execute`). It writes
one a line: `{"cell": 3}` after each cell, `{"done": "complete", "error": "", "seconds": 9.5}` after
the notebook. A process of its own means that a kernel that hangs or dies takes nothing else with
it. The process serves several notebooks, since papermill takes seconds to import. It ends with its
standard input, even in the middle of a notebook, since nothing reads the result by then.

The exception decides how a notebook ended, and never the notebook: papermill marks a cell that ran
out of time as completed.
"""

# ruff: noqa: E402 - one line must come before papermill is imported

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

# jsonschema would build a grammar of addresses for two seconds; notebooks have no address.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from stream_lab.experiment.evidence import FOLDER_VARIABLE
from stream_lab.notebooks.worker import Done

QUIET_KERNEL = ["--IPKernelApp.log_level=40"]


class ReportingEngine(NBClientEngine):  # type: ignore[misc]
    """Papermill's own engine, which reports each cell that is done."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        complete = nb_man.cell_complete

        def cell_complete(cell: Any, cell_index: int | None = None, **more: Any) -> None:
            complete(cell, cell_index, **more)
            _say(cell=cell_index)

        nb_man.cell_complete = cell_complete
        super().execute_managed_notebook(
            nb_man, kernel_name, extra_arguments=QUIET_KERNEL, **kwargs
        )


papermill_engines.register("reporting", ReportingEngine)


def execute(
    source: str,
    target: str,
    evidence: str,
    cell_limit: float,
    parameters: dict[str, Any],
    kernel: str = "python3",
    environment: dict[str, str | None] | None = None,
    folder: str | None = None,
) -> tuple[Done, str]:
    """Run one notebook.

    Args:
        source: The notebook's file.
        target: The executed notebook's file.
        evidence: The folder for the notebook's evidence.
        cell_limit: Seconds that a cell may take.
        parameters: Values that papermill injects.
        kernel: A name that Jupyter knows.
        environment: Variables of the kernel; None removes one.
        folder: The kernel's working folder; None: the source's.

    Returns:
        How the notebook ended, and why if that was early.
    """
    try:
        with _variables({**(environment or {}), FOLDER_VARIABLE: evidence}):
            papermill.execute_notebook(
                source,
                target,
                parameters=parameters,
                engine_name="reporting",
                kernel_name=kernel,
                progress_bar=False,
                execution_timeout=cell_limit,
                cwd=folder or str(Path(source).parent),
            )
    except PapermillExecutionError as error:
        return Done.EXCEPTION, f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        return Done.TIMEOUT, f"a cell ran for more than {cell_limit:g} s and was stopped"
    except DeadKernelError:
        return Done.LOST, "its kernel died"
    except (
        Exception
    ) as error:  # an unreadable notebook or a missing kernel must not stop the others
        return Done.LOST, f"{type(error).__name__}: {error}"
    finally:
        _forget_paths(Path(target))
    return Done.COMPLETE, ""


@contextmanager
def _variables(changes: dict[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _forget_paths(notebook: Path) -> None:
    """Take this machine's folders out of papermill's notes in the notebook."""
    if notebook.exists():
        body = json.loads(notebook.read_text(encoding="utf-8"))
        for name in ("input_path", "output_path"):
            if name in body["metadata"].get("papermill", {}):
                body["metadata"]["papermill"][name] = notebook.name
        notebook.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def _read(tasks: "Queue[str]") -> None:
    for line in sys.stdin:
        tasks.put(line)
    os._exit(1)  # the kernel ends with its parent, and what the kernel started ends with the kernel


def main() -> None:
    tasks: Queue[str] = Queue()
    Thread(target=_read, args=(tasks,), name="stdin", daemon=True).start()
    while True:
        task = tasks.get()
        started = time.monotonic()
        done, error = execute(**json.loads(task))
        _say(done=done, error=error, seconds=time.monotonic() - started)


if __name__ == "__main__":
    main()
