"""Run one cell of the matrix: the same function on this machine and on a cluster's."""

import json
import os
import platform
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stream_lab.experiment.endpoint import KEY_VARIABLE
from stream_lab.experiment.evidence import Claim, Found, Outcome, read
from stream_lab.experiment.fake import Fake, FakeError
from stream_lab.notebooks.worker import Done
from stream_lab.processes.programs import missing
from stream_lab.regress.config import EndpointSpec
from stream_lab.regress.row import Attempt, Row, Status
from stream_lab.regress.snapshot import Snapshot
from stream_lab.regress.workers import Workers
from stream_lab.regress.worlds import Environment, World, WorldError

OTHERS_FAULT = ("EndpointError", "ProcessError", "FakeError", "FakeVllmError")
"""Errors of a notebook that speak of the server, not of what is tested."""
HIDDEN = "[the key]"
SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Task:
    """All that is needed to run a cell, on whichever machine.

    Attributes:
        session: names the session of the run that it belongs to.
        row: the row to fill in.
        cell_limit: seconds that one cell of the notebook may take.
        notebook_limit: seconds that the whole notebook may take.
        retries: how often a cell that did not pass is run again.
    """

    session: str
    row: Row
    notebook: str
    endpoint: EndpointSpec
    model: str | None
    world: World
    code: Snapshot
    cell_limit: float
    notebook_limit: float
    retries: int


@dataclass(frozen=True)
class CellResult:
    """A row that is filled in, and the executed notebook's text; empty if it did not get that far."""

    row: Row
    notebook: str = ""


def run_cell(task: Task, workers: Workers) -> CellResult:
    """Run a notebook, again if it did not pass, and judge it.

    Raises nothing that the cell could cause.

    Args:
        task: the cell.
        workers: the processes of this machine.
    """
    row = replace(
        task.row,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        host=platform.node(),
        load=os.getloadavg()[0],
    )
    earlier: list[Attempt] = []
    while True:
        result = _attempt(task, row, workers)
        good = result.row.status in (Status.PASS, Status.SKIPPED)
        if good or len(earlier) >= task.retries or workers.is_stopped(task.session):
            return replace(result, row=replace(result.row, earlier=earlier))
        earlier.append(Attempt(result.row.status, result.row.reason, result.row.seconds))


@dataclass
class _Run:
    """One execution of a notebook, as it was seen from outside."""

    done: Done = Done.LOST
    error: str = "it was stopped"
    seconds: float = 0.0
    found: Found = field(default_factory=Found)
    notebook: str = ""


def _attempt(task: Task, row: Row, workers: Workers) -> CellResult:
    if lacking := missing(row.notebook[:2]):
        return CellResult(replace(row, status=Status.SKIPPED, reason=lacking))
    try:
        world = task.world.environment()
    except WorldError as error:
        return CellResult(replace(row, status=Status.INFRA, reason=str(error)))
    try:
        with ExitStack() as stack:
            address, model = _open(task, stack)
            run = _run(task, world, workers, {"BASE_URL": address, "MODEL": model})
    except (FakeError, OSError) as error:
        return CellResult(replace(row, status=Status.INFRA, reason=_hide(task, str(error))))
    found = run.found
    status, reason = _lost(run, world)
    by_claims = status is None
    if status is None:
        status, reason = _told(found.claims)
    row = replace(
        row,
        status=status,
        reason=_hide(task, reason),
        by_claims=by_claims,
        claims=found.claims,
        numbers=found.numbers,
    )
    return CellResult(
        replace(row, seconds=round(run.seconds, 3), imported=found.imported), run.notebook
    )


def _open(task: Task, stack: ExitStack) -> tuple[str | None, str | None]:
    """Return the address and model for the notebook; starts its own fake if configured."""
    spec = task.endpoint
    if spec.scenario is None:
        return spec.url, task.model
    fake = stack.enter_context(Fake(spec.scenario, **spec.options))  # type: ignore[arg-type]
    return fake.base_url, fake.model


def _run(task: Task, world: Environment, workers: Workers, ours: dict[str, Any]) -> _Run:
    chosen = {name: value for name, value in ours.items() if value is not None}
    run = _Run()
    with TemporaryDirectory(prefix="regress-") as place:
        folder = Path(place)
        source, target, evidence = (
            folder / name for name in (f"{task.row.notebook}.ipynb", "executed.ipynb", "evidence")
        )
        source.write_text(task.notebook, encoding="utf-8")
        evidence.mkdir()
        order = {
            "source": str(source),
            "target": str(target),
            "evidence": str(evidence),
            "cell_limit": task.cell_limit,
            "parameters": {**chosen, **task.row.parameters},
            "kernel": world.kernel,
            "environment": {
                "JUPYTER_PATH": world.jupyter,
                "PYTHONPATH": str(task.code.folder()),
                KEY_VARIABLE: os.environ.get(task.endpoint.api_key_env)
                if task.endpoint.url
                else None,
            },
        }
        started = time.monotonic()
        last: dict[str, Any] = {}
        with workers.borrow(task.session) as worker:
            over = threading.Timer(task.notebook_limit, worker.kill)
            over.start()
            try:
                for facts in worker.run(order) if not workers.is_stopped(task.session) else ():
                    last = facts
            finally:
                over.cancel()
        run.seconds = last.get("seconds", time.monotonic() - started)
        if "done" in last:
            run.done, run.error = Done(last["done"]), last["error"]
        elif time.monotonic() - started >= task.notebook_limit:
            run.done, run.error = (
                Done.TIMEOUT,
                f"the notebook ran for more than {task.notebook_limit:g} s and was stopped",
            )
        for file in evidence.glob("*.json"):
            file.write_text(_hide(task, file.read_text(encoding="utf-8")), encoding="utf-8")
            run.found = read(file)
        if target.exists():
            run.notebook = _hide(task, target.read_text(encoding="utf-8"))
    return run


def _lost(run: _Run, world: Environment) -> tuple[Status | None, str]:
    """Return what is wrong with a run apart from its claims, and why; None: nothing."""
    found = run.found
    if run.done is Done.TIMEOUT:
        return Status.TIMEOUT, run.error
    if run.done is Done.LOST or run.error.partition(":")[0] in OTHERS_FAULT:
        return Status.INFRA, run.error
    if run.error or found.lacking:
        return Status.FAIL, run.error or found.lacking
    other = [
        f"{name} {version} instead of {world.versions.get(name, 'none')}"
        for name, version in found.imported.items()
        if version != world.versions.get(name)
    ]
    if other:
        return Status.INFRA, f"it imported {', '.join(other)}"
    return None, ""


def _told(claims: list[Claim]) -> tuple[Status, str]:
    """What the claims of a whole run come to, and which of them decides."""
    for outcome, status in ((Outcome.NOT_AS_TOLD, Status.FAIL), (Outcome.NOT_SHOWN, Status.INFRA)):
        told = [claim for claim in claims if claim.outcome is outcome]
        if told:
            more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
            return status, f"{told[0].text}: {told[0].found}, not {told[0].expected}{more}"
    return Status.PASS, ""


def _hide(task: Task, text: str) -> str:
    """Take the endpoint's key out of text that a server or notebook has written."""
    key = os.environ.get(task.endpoint.api_key_env, "")
    if len(key) < SHORTEST_SECRET:
        return text
    for written in {key, json.dumps(key)[1:-1]}:
        text = text.replace(written, HIDDEN)
    return text
