"""Execute notebooks with papermill and say how it goes: the inner part of `stream-lab run`.

Reads one JSON object a line from standard input (`source`, `target`, `evidence`, `cell_limit`, `parameters`) and writes one a line:
`{"cell": 3}` when a cell is done, `{"done": true, "error": "…", "seconds": 9.5}` when the notebook is. It is a process of its own, so that a kernel
that hangs or dies takes nothing else with it, and it serves several notebooks, since papermill takes seconds to import.

What came of a notebook is decided from the exception and never from the notebook: papermill marks a cell that ran out of time as
completed.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from stream_lab.evidence import FOLDER_VARIABLE

QUIET_KERNEL = ["--IPKernelApp.log_level=40"]


class ReportingEngine(NBClientEngine):  # type: ignore[misc]
    """Papermill's own engine, which tells when a cell is done."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        complete = nb_man.cell_complete

        def cell_complete(cell: Any, cell_index: int | None = None, **more: Any) -> None:
            complete(cell, cell_index, **more)
            _say(cell=cell_index)

        nb_man.cell_complete = cell_complete
        super().execute_managed_notebook(nb_man, kernel_name, extra_arguments=QUIET_KERNEL, **kwargs)


papermill_engines.register("reporting", ReportingEngine)


def execute(source: str, target: str, evidence: str, cell_limit: int, parameters: dict[str, Any]) -> str:
    """Run one notebook; returns why it did not run to its end, or nothing if it did."""
    os.environ[FOLDER_VARIABLE] = evidence
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters=parameters,
            engine_name="reporting",
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=cell_limit,
            cwd=str(Path(source).parent),
        )
    except PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        return f"a cell ran for more than {cell_limit} s and was stopped"
    except DeadKernelError:
        return "its kernel died"
    except Exception as error:  # a notebook that cannot be read, a kernel that does not start: the others may still run
        return f"{type(error).__name__}: {error}"
    finally:
        _forget_paths(Path(target))
    return ""


def _forget_paths(notebook: Path) -> None:
    """Take this machine's folders out of what papermill noted in the notebook."""
    if notebook.exists():
        body = json.loads(notebook.read_text(encoding="utf-8"))
        for name in ("input_path", "output_path"):
            if name in body["metadata"].get("papermill", {}):
                body["metadata"]["papermill"][name] = notebook.name
        notebook.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    for line in sys.stdin:
        started = time.monotonic()
        error = execute(**json.loads(line))
        _say(done=True, error=error, seconds=time.monotonic() - started)


if __name__ == "__main__":
    main()
