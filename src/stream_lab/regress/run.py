"""Execute a regression run, from its plan to its documents, and resume it."""

import subprocess
import time
import uuid
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from stream_lab.experiment.endpoint import Endpoint, EndpointError
from stream_lab.notebooks.executor import Executor
from stream_lab.notebooks.progress import Display
from stream_lab.notebooks.row import Row, Status, count_claims
from stream_lab.notebooks.schedule import run_all
from stream_lab.notebooks.task import CellResult, Task
from stream_lab.regress import snapshot
from stream_lab.regress.compare import compare, verdict
from stream_lab.regress.grid import Cell
from stream_lab.regress.history import History
from stream_lab.regress.junit import junit
from stream_lab.regress.page import page
from stream_lab.regress.plan import RUN_FILE, SUMMARY_FILE, Plan
from stream_lab.regress.store import Store
from stream_lab.regress.summary import Kind, Summary, Verdict, markdown, parse
from stream_lab.regress.worlds import World, WorldError, WorldPlace

_ROW: TypeAdapter[Row] = TypeAdapter(Row)


@dataclass(frozen=True)
class RunContext:
    """What the cells of a run share.

    Attributes:
        code: The kit's own code, as it stood when the run began.
        commit: The checkout's commit.
        worlds: The worlds that could be made, by name.
        models: The model to ask for, by endpoint that runs already.
        lost: Why a world or an endpoint is not there, by "world NAME" or "endpoint NAME".
        notes: What a reader should know about the endpoints.
    """

    code: snapshot.Snapshot
    commit: str
    worlds: dict[str, World]
    models: dict[str, str]
    lost: dict[str, str]
    notes: list[str]

    def why_not(self, cell: Cell) -> str:
        """Return why a cell cannot run; empty if it can."""
        return (
            self.lost.get(f"world {cell.world}") or self.lost.get(f"endpoint {cell.endpoint}") or ""
        )


def execute(plan: Plan, executor: Executor, display: Display) -> Summary:
    """Run the cells that have no row yet, and write every document.

    Rows are kept as they come, so the run may be interrupted anywhere. If the plan goes on with a
    finished run, and neither a cell nor the baseline is another, nothing is run or written, and the
    result is that run's.

    Raises:
        StoreError: The outputs cannot be written; what was written stays.
        KeyboardInterrupt: Raised again after the running cells have been stopped.
    """
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    digests = plan.digests()
    rows = _standing(plan.earlier, digests) if plan.earlier is not None else {}
    display.began({cell.name: cell.notebook.length for cell in plan.cells}, list(rows))
    left = [cell for cell in plan.cells if cell.name not in rows]
    finished = _finished(plan) if not left else None
    if finished is not None and not plan.chosen_baseline:
        return finished
    with plan.store.claimed():
        context = RunContext(snapshot.take(), commit(plan.base), {}, {}, {}, plan.config.notes())
        body = {
            "run": plan.name,
            "continues": plan.continues,
            "started": started,
            "code": context.code.digest,
            "commit": context.commit,
        }
        config = {**plan.config.model_dump(mode="json"), "outputs": plan.store.shown}
        plan.store.write_json(RUN_FILE, {**body, "config": config})
        if plan.continues:
            _copy(plan, rows.values())
        if finished is not None:
            summary = replace(
                finished, run=plan.name, continues=plan.continues, started=started, seconds=0.0
            )
        else:
            _prepare(context, plan, display)
            results, tasks = _sorted_out(plan, context, left, digests, executor)
            with closing(run_all(tasks, executor, display)) as ended:
                for result in chain(results, ended):
                    if not result.interrupted:  # a resumed run runs it again
                        _keep(plan.store, result)
                        rows[result.row.cell] = result.row
                    display.ended(result.row)
            in_order = [rows[cell.name] for cell in plan.cells]
            summary = _summary(
                plan, context, in_order, started, time.monotonic() - clock, executor.words
            )
        summary = _conclude(summary, plan)
        _write(plan, summary)
    return summary


def _copy(plan: Plan, rows: Iterable[Row]) -> None:
    """Copy rows that stand, with their notebooks, from the finished run."""
    assert plan.earlier is not None
    for row in rows:
        _keep(plan.store, CellResult(row, plan.earlier.read(f"notebooks/{row.cell}.ipynb") or ""))


def _sorted_out(
    plan: Plan, context: RunContext, left: list[Cell], digests: dict[str, str], executor: Executor
) -> tuple[list[CellResult], list[Task]]:
    """Return the results of the cells that cannot run, and tasks for all others."""
    # A session of its own, so that what stopped an earlier one does not stop this.
    session = uuid.uuid4().hex
    results, tasks = [], []
    for cell in _longest_first(left, plan.history):
        spec = plan.config.endpoints[cell.endpoint]
        row = _row(cell, digests[cell.name], min(executor.slots, spec.limit or executor.slots))
        if lost := context.why_not(cell):
            results.append(CellResult(replace(row, reason=lost)))
            continue
        task = Task(
            session=session,
            row=row,
            notebook=cell.notebook.text,
            server=spec.server(context.models.get(cell.endpoint), plan.config.key_variables),
            place=WorldPlace(context.worlds[cell.world], context.code),
            cell_limit=plan.config.limits.cell,
            notebook_limit=plan.config.limits.notebook,
            retries=plan.config.retries,
        )
        tasks.append(task)
    return results, tasks


def commit(folder: Path) -> str:
    """Return the checkout's commit, with "+" if it has changes; empty without git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def _standing(earlier: Store, digests: dict[str, str]) -> dict[str, Row]:
    """Return an earlier session's rows that hold: nothing has changed, and they could tell."""
    found: dict[str, Row] = {}
    for name in earlier.names("cells"):
        try:
            row = _ROW.validate_json(earlier.read(name) or "")
        except ValidationError:  # so its cell runs again
            continue
        told = row.status not in (Status.INFRA, Status.SKIPPED)
        if told and digests.get(row.cell) == row.digest:
            found[row.cell] = row
    return found


def _finished(plan: Plan) -> Summary | None:
    """Return the summary of the finished run, if it has the plan's cells."""
    text = plan.earlier.read(SUMMARY_FILE) if plan.earlier is not None else None
    try:
        summary = parse(text) if text is not None else None
    except ValidationError:
        return None
    names = [row.cell for row in summary.rows] if summary is not None else []
    return summary if names == [cell.name for cell in plan.cells] else None


def _prepare(context: RunContext, plan: Plan, display: Display) -> None:
    """Make the worlds before anything is timed, and ask the servers that run already."""
    for name in dict.fromkeys(cell.world for cell in plan.cells):
        display.busy(f"the world '{name}'")
        try:
            world = World.of(name, plan.config.worlds[name], plan.base)
            world.environment()
            context.worlds[name] = world
        except WorldError as error:
            context.lost[f"world {name}"] = str(error)
    for name in dict.fromkeys(cell.endpoint for cell in plan.cells):
        spec = plan.config.endpoints[name]
        if spec.url is None:
            continue
        display.busy(f"the endpoint '{name}'")
        try:
            with Endpoint(spec.url, spec.model, key_variable=spec.api_key_env) as server:
                context.models[name] = server.model
                context.notes.extend(f"{name}: {note}" for note in server.notes)
        except EndpointError as error:
            context.lost[f"endpoint {name}"] = str(error)


def _longest_first(left: list[Cell], history: History) -> list[Cell]:
    """Put long cells first, so that the last one to end is short.

    Cells without a history come before all others, in the order of the matrix.
    """
    took = history.seconds()
    return sorted(left, key=lambda cell: -took.get(cell.name, float("inf")))


def _row(cell: Cell, digest: str, jobs: int) -> Row:
    return Row(
        cell=cell.name,
        endpoint=cell.endpoint,
        world=cell.world,
        notebook=cell.notebook.name,
        title=cell.notebook.title,
        parameters=dict(cell.parameters),
        status=Status.INFRA,
        jobs=jobs,
        digest=digest,
    )


def _keep(store: Store, result: CellResult) -> None:
    """Write a result, its notebook first, so that each row has its notebook."""
    if result.notebook:
        store.write(f"notebooks/{result.row.cell}.ipynb", result.notebook)
    store.write_json(f"cells/{result.row.cell}.json", _ROW.dump_python(result.row, mode="json"))


def _summary(
    plan: Plan, context: RunContext, rows: list[Row], started: str, seconds: float, where: str
) -> Summary:
    """Sum up the rows, before any comparison."""
    worlds = dict.fromkeys(cell.world for cell in plan.cells)
    return Summary(
        run=plan.name,
        continues=plan.continues,
        verdict=Verdict.UNKNOWN,
        exit_status=Verdict.UNKNOWN.exit_status,
        headline="",
        against="",
        started=started,
        seconds=round(seconds, 1),
        where=where,
        code=context.code.digest[:16],
        commit=context.commit,
        endpoints={
            name: plan.config.endpoints[name].words
            for name in dict.fromkeys(cell.endpoint for cell in plan.cells)
        },
        worlds={
            name: context.worlds[name].environment().versions if name in context.worlds else {}
            for name in worlds
        },
        rows=rows,
        notes=context.notes,
    )


def _conclude(summary: Summary, plan: Plan) -> Summary:
    """Return the same run, compared with the plan's baseline."""
    changes = compare(summary.rows, plan.baseline, plan.config.limits.slow)
    found = verdict(summary.rows, changes)
    concluded = replace(
        summary,
        changes=changes,
        verdict=found,
        exit_status=found.exit_status,
        against=plan.baseline.words,
    )
    return replace(concluded, headline=_headline(concluded))


def _headline(summary: Summary) -> str:
    held, claims = count_claims(summary.rows)
    passed = f"{summary.count(Status.PASS)} of {len(summary.rows)} cells pass"
    parts = [f"{passed}, {held} of {claims} claims as told"]
    for kind, one, many in (
        (Kind.REGRESSION, "regression", "regressions"),
        (Kind.UNKNOWN, "could not be told", "could not be told"),
        (Kind.KNOWN, "as bad as before", "as bad as before"),
        (Kind.FLAKY, "flaky", "flaky"),
        (Kind.SLOW, "slow", "slow"),
    ):
        if number := len(summary.of(kind)):
            parts.append(f"{number} {one if number == 1 else many}")
    return ", ".join(parts)


def _write(plan: Plan, summary: Summary) -> None:
    plan.store.write("report.html", page(summary))
    plan.store.write("junit.xml", junit(summary))
    plan.store.write("summary.md", markdown(summary))
    plan.history.add(summary, plan.store.shown)
    plan.store.write_json(SUMMARY_FILE, summary.as_dict())  # last: with it, the run is finished
