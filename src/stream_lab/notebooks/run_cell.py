"""Run one notebook and judge it, on this machine or on a cluster's."""

import os
import platform
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stream_lab.errors import LabError
from stream_lab.experiment import goes_on
from stream_lab.experiment.evidence import Claim, Found, Outcome, read
from stream_lab.extras import missing_extra
from stream_lab.notebooks.reason import of_death
from stream_lab.notebooks.row import Attempt, Row, Status
from stream_lab.notebooks.task import CellResult, Kernel, Task
from stream_lab.notebooks.worker import Done, Worker
from stream_lab.notebooks.workers import Workers
from stream_lab.processes.programs import missing
from stream_lab.redact import spellings_of, without_in_json, without_whole

OTHERS_FAULT = ("EndpointError", "ProcessError", "FakeError", "FakeVllmError")
"""Errors of a notebook that speak of the server, and not of the subject under test."""
NOT_INSTALLED = ("MissingExtra", "MissingPart")
"""Errors of a notebook that name a program or a package to install."""
NO_MODULE = re.compile(
    r"No module named '(?P<missing>[^']+)'|import of (?P<halted>\S+) halted; None in sys\.modules"
)
"""The two texts of Python's own ModuleNotFoundError."""

Tell = Callable[[int], None]
"""Called with the number of the notebook's cells that are done."""


def run_cell(task: Task, workers: Workers, tell: Tell = lambda done: None) -> CellResult:
    """Run a notebook, again if it did not pass, and judge it.

    Raises nothing that the notebook could cause.

    Args:
        task: The notebook.
        workers: The processes of this machine.
        tell: Called each time a cell is done.
    """
    row = replace(
        task.row,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        host=platform.node(),
        load=os.getloadavg()[0],
    )
    earlier: list[Attempt] = []
    while True:
        result = _attempt(task, row, workers, tell)
        good = result.row.status in (Status.PASS, Status.SKIPPED)
        if good or len(earlier) >= task.retries or workers.is_stopped(task.session):
            return replace(result, row=replace(result.row, earlier=earlier))
        earlier.append(Attempt(result.row.status, result.row.reason, result.row.seconds))


@dataclass
class _Run:
    """One execution of a notebook, seen from outside.

    Attributes:
        kind: The name of the exception's class, if the notebook raised one.
        left: Command lines of processes that it had started, and that were ended.
    """

    done: Done = Done.LOST
    error: str = "it was stopped"
    kind: str = ""
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0
    found: Found = field(default_factory=Found)
    notebook: str = ""
    evidence: str = ""


def _attempt(task: Task, row: Row, workers: Workers, tell: Tell) -> CellResult:
    try:
        kernel = task.place.kernel()
        if lacking := missing(row.number, kernel.versions):
            return CellResult(replace(row, status=Status.SKIPPED, reason=lacking))
        with task.server.opened() as parameters:
            run = _run(task, kernel, workers, parameters, tell)
    except (LabError, OSError) as error:
        reason = str(error) or type(error).__name__
        return CellResult(replace(row, status=Status.INFRA, reason=_hide(task, reason)))
    status, reason = _lost(run, kernel)
    by_claims = status is None
    if status is None:
        status, reason = _told(run.found.claims)
    row = replace(
        row,
        status=status,
        reason=_hide(task, reason),
        by_claims=by_claims,
        claims=run.found.claims,
        numbers=run.found.numbers,
        seconds=round(run.seconds, 3),
        imported=run.found.imported,
        left_behind=[_hide(task, words) for words in run.left],
    )
    return CellResult(row, run.notebook, run.evidence)


def _run(
    task: Task, kernel: Kernel, workers: Workers, parameters: Mapping[str, str], tell: Tell
) -> _Run:
    with TemporaryDirectory(prefix="notebook-") as place:
        folder = Path(place)
        source, target = folder / f"{task.row.notebook}.ipynb", folder / "executed.ipynb"
        evidence = folder / "evidence"
        source.write_text(task.notebook, encoding="utf-8")
        evidence.mkdir()
        order = {
            "source": str(source),
            "target": str(target),
            "evidence": str(evidence),
            "folder": str(task.folder or folder),
            "cell_limit": task.cell_limit,
            "parameters": {**parameters, **task.row.parameters},
            "kernel": kernel.name,
            "environment": {
                **kernel.variables,
                **task.server.kernel_keys,
                goes_on.VARIABLE: " ".join(sorted(workers.goes_on)),
            },
        }
        with workers.borrow(task.session) as worker:
            stopped = workers.is_stopped(task.session)
            run = _Run() if stopped else _watch(worker, order, task.notebook_limit, tell)
        if (found := evidence / goes_on.FILE).exists():
            workers.goes_on |= set(found.read_text(encoding="utf-8").split())
        for file in evidence.glob("*.json"):
            run.evidence = _hide_in_file(task, file.read_text(encoding="utf-8"))
            file.write_text(run.evidence, encoding="utf-8")
            run.found = read(file)
        if target.exists():
            run.notebook = _hide_in_file(task, target.read_text(encoding="utf-8"))
    return run


def _watch(worker: Worker, order: dict[str, Any], limit: float | None, tell: Tell) -> _Run:
    """Give a worker its order and follow it to the end, or to the limit."""
    run, last = _Run(), dict[str, Any]()
    started = time.monotonic()
    over = threading.Timer(limit or 0.0, worker.kill)
    if limit is not None:
        over.start()
    try:
        for last in worker.run(order):
            if "cell" in last:
                tell(last["cell"] + 1)
    finally:
        over.cancel()
    run.seconds = last.get("seconds", time.monotonic() - started)
    if "done" in last:
        run.done, run.error = Done(last["done"]), last["error"]
        run.kind, run.left = last["kind"], last["left"]
        return run
    run.left = worker.ended
    if limit is not None and time.monotonic() - started >= limit:
        run.done = Done.TIMEOUT
        run.error = f"the notebook ran for more than {limit:g} s and was stopped"
    elif (status := worker.status()) is not None and not worker.killed:
        run.error = of_death("the process that executed it", status)
    return run


def _lost(run: _Run, kernel: Kernel) -> tuple[Status | None, str]:
    """Return what is wrong with a run apart from its claims, and why; None: nothing."""
    if run.done is Done.TIMEOUT:
        return Status.TIMEOUT, run.error
    if lacking := _not_installed(run):
        return Status.SKIPPED, lacking
    if run.done is Done.LOST or run.kind in OTHERS_FAULT:
        return Status.INFRA, run.error
    if run.error or run.found.lacking:
        return Status.FAIL, run.error or run.found.lacking
    other = [
        f"{name} {version} instead of {kernel.versions.get(name, 'none')}"
        for name, version in run.found.imported.items()
        if version != kernel.versions.get(name)
    ]
    if other:
        return Status.INFRA, f"it imported {', '.join(other)}"
    return None, ""


def _not_installed(run: _Run) -> str:
    """Return what to install, if a notebook broke off for want of it; empty otherwise."""
    text = run.error.partition(": ")[2]
    if run.kind in NOT_INSTALLED:
        return text
    if run.kind == "ModuleNotFoundError" and (found := NO_MODULE.fullmatch(text)):
        name = found["missing"] or found["halted"]
        lacking = missing_extra(ModuleNotFoundError(text, name=name))
        return str(lacking or "")
    return ""


def _told(claims: list[Claim]) -> tuple[Status, str]:
    """Return the status by the claims of a whole run, and the reason."""
    for outcome, status in ((Outcome.NOT_AS_TOLD, Status.FAIL), (Outcome.NOT_SHOWN, Status.INFRA)):
        told = [claim for claim in claims if claim.outcome is outcome]
        if told:
            more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
            return status, f"{told[0].text}: {told[0].found}, not {told[0].expected}{more}"
    return Status.PASS, ""


def _hide(task: Task, text: str) -> str:
    """Take every server's key out of a text that a server or notebook has written."""
    return without_whole(text, spellings_of(task.server.keys))


def _hide_in_file(task: Task, text: str) -> str:
    """Take every server's key out of a JSON file that a notebook has written."""
    return without_in_json(text, spellings_of(task.server.keys))
