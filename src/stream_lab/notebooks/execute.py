"""Execute notebooks with papermill: the process behind `stream_lab.notebooks.worker.Worker`.

The process reads one JSON object a line from standard input (the arguments of `execute`). It writes
one a line: `{"cell": 3}` after each cell, and after the notebook an `Ending` and its seconds. They
go to a pipe whose number is its argument and which no kernel inherits: standard output and error
belong to the kernels and to what they start. A process of its own means that a kernel that hangs or
dies takes nothing else with it. The process serves several notebooks, since papermill takes seconds
to import. It ends with its standard input, even in the middle of a notebook, since nothing reads
the result by then.

The kernel's replies decide how a notebook ended, and never the notebook: papermill marks a cell
that ran out of time as completed.
"""

# ruff: noqa: E402 - one line must come before papermill is imported

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, Any

# jsonschema would build a grammar of addresses for two seconds; notebooks have no address.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import papermill
import psutil
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG

from stream_lab.experiment.evidence import FOLDER_VARIABLE
from stream_lab.notebooks import left_behind
from stream_lab.notebooks.kernel_client import KernelNotStarted, Record, RecordingEngine
from stream_lab.notebooks.reason import of_death, of_exception
from stream_lab.notebooks.worker import Done

papermill_engines.register("recording", RecordingEngine)

PORT_TAKEN = "Address already in use"
"""Jupyter chooses the ports of a kernel before the kernel binds them; on a busy machine one is lost."""


@dataclass
class Ending:
    """How a notebook ended.

    Attributes:
        error: Why, if that was early; empty at its end.
        kind: The name of the exception's class, if the notebook raised one.
        left: Command lines of processes that it had left running, and that were ended.
    """

    done: Done
    error: str = ""
    kind: str = ""
    left: list[str] = field(default_factory=list)


def execute(
    source: str,
    target: str,
    evidence: str,
    cell_limit: float,
    parameters: dict[str, Any],
    kernel: str = "python3",
    environment: dict[str, str | None] | None = None,
    folder: str | None = None,
    cell_done: Callable[[int], None] = lambda index: None,
    again: bool = True,
) -> Ending:
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
        cell_done: Called with the index of each cell that is done.
        again: Whether to start once more if another program took a port that Jupyter had chosen.
    """
    record = Record(cell_done)
    ending = _ending(
        lambda: papermill.execute_notebook(
            source,
            target,
            parameters=parameters,
            engine_name="recording",
            kernel_name=kernel,
            progress_bar=False,
            execution_timeout=cell_limit,
            cwd=folder or str(Path(source).parent),
            record=record,
        ),
        {**(environment or {}), FOLDER_VARIABLE: evidence},
        cell_limit,
        record,
    )
    if PORT_TAKEN in ending.error and ending.done is Done.LOST and again:
        return execute(
            source, target, evidence, cell_limit, parameters, kernel, environment, folder,
            cell_done, again=False,
        )  # fmt: skip
    ending.left = record.ended
    _tidy(Path(target), whole=ending.done is Done.COMPLETE)
    return ending


def _ending(
    run: Callable[[], object],
    variables: dict[str, str | None],
    cell_limit: float,
    record: Record,
) -> Ending:
    try:
        with _variables(variables):
            run()
    except PapermillExecutionError:
        pass  # it counts outputs; the record has the kernel's replies
    except CellTimeoutError:
        return Ending(Done.TIMEOUT, f"a cell ran for more than {cell_limit:g} s and was stopped")
    except DeadKernelError:
        return Ending(Done.LOST, of_death("its kernel", record.status))
    except KernelNotStarted as error:
        return Ending(Done.LOST, f"its kernel did not start: {error}")
    except Exception as error:  # an unreadable notebook must not stop the others
        return Ending(Done.LOST, of_exception(type(error).__name__, str(error)))
    if record.failure is None or _is_good_exit(*record.failure):
        return Ending(Done.COMPLETE)
    name, text = record.failure
    return Ending(Done.EXCEPTION, of_exception(name, text), name)


def _is_good_exit(name: str, text: str) -> bool:
    """Return whether a notebook ended itself in good order, as papermill sees it."""
    return name == "SystemExit" and text in ("", "0", "None")


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


def _tidy(notebook: Path, whole: bool) -> None:
    """Take out of a notebook what papermill put there.

    Args:
        notebook: The executed notebook's file.
        whole: Whether it ran to its end: then no exception was one that papermill should point to.
    """
    if not notebook.exists():
        return
    body = json.loads(notebook.read_text(encoding="utf-8"))
    for name in ("input_path", "output_path"):  # this machine's folders
        if name in body["metadata"].get("papermill", {}):
            body["metadata"]["papermill"][name] = notebook.name
    if whole:
        body["cells"] = [
            cell
            for cell in body["cells"]
            if ERROR_MARKER_TAG not in cell["metadata"].get("tags", [])
        ]
    notebook.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _say(pipe: IO[str], **facts: Any) -> None:
    with suppress(BrokenPipeError):  # the reader is gone, and `_read` ends this process
        pipe.write(json.dumps(facts) + "\n")
        pipe.flush()


def _read(tasks: "Queue[str]") -> None:
    for line in sys.stdin:
        tasks.put(line)
    left_behind.end_descendants(psutil.Process())
    os._exit(1)


def main() -> None:
    number = int(sys.argv[1])
    os.set_inheritable(number, False)
    pipe = os.fdopen(number, "w", encoding="utf-8")
    left_behind.adopt_orphans()
    tasks: Queue[str] = Queue()
    Thread(target=_read, args=(tasks,), name="stdin", daemon=True).start()
    while True:
        task = tasks.get()
        started = time.monotonic()
        ending = execute(**json.loads(task), cell_done=lambda index: _say(pipe, cell=index))
        seconds = time.monotonic() - started
        ending.left += left_behind.end_descendants(
            psutil.Process(), patience=left_behind.ENDS_BY_ITSELF
        )
        left_behind.reap_adopted(None)
        _say(pipe, **asdict(ending), seconds=seconds)


if __name__ == "__main__":
    main()
