"""The whole investigation: every notebook in order, what each found, and one verdict."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream_lab.errors import LabError
from stream_lab.experiment.evidence import Claim, Outcome, read
from stream_lab.notebooks.title import title_of
from stream_lab.notebooks.worker import Worker

CELL_LIMIT = 60


class InvestigationError(LabError):
    """Raised when the investigation cannot begin; the text says why and what to do."""


@dataclass
class Result:
    """What came of one notebook. `error`: why it did not run to its end; empty if it did. `seconds`: how long it took."""

    name: str
    title: str
    claims: list[Claim] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    ran: bool = False

    @property
    def as_told(self) -> bool:
        """Whether it ran to its end and every claim came out as the story says."""
        return (
            self.ran
            and not self.error
            and bool(self.claims)
            and all(c.outcome is Outcome.AS_TOLD for c in self.claims)
        )


@dataclass(frozen=True)
class Plan:
    """What to run: the notebooks, their parameters (BASE_URL, MODEL, TIMEOUT), how many at a time, and where to."""

    notebooks: list[Path]
    parameters: dict[str, Any]
    jobs: int
    folder: Path

    @property
    def cell_limit(self) -> int:
        """Seconds a cell may take: a minute, and more when the deadlines themselves are long."""
        return CELL_LIMIT + round(6 * float(self.parameters["TIMEOUT"]))


def find_notebooks(folder: Path) -> list[Path]:
    """Return the numbered notebooks of a folder, in order.

    Raises:
        InvestigationError: there are none.
    """
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise InvestigationError(
            f"There are no notebooks in {folder}; run this from the project's folder, or name theirs with --notebooks."
        )
    return found


def make_run_folder(runs: Path) -> Path:
    """Make a new folder for this run, named by the time.

    Raises:
        InvestigationError: it cannot be made or written to.
    """
    name = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    folder = next(
        runs / f"{name}{suffix}"
        for suffix in _suffixes()
        if not (runs / f"{name}{suffix}").exists()
    )
    try:
        (folder / "notebooks").mkdir(parents=True)
        (folder / "evidence").mkdir()
    except OSError as error:
        raise InvestigationError(
            f"Cannot write to {runs}: {error.strerror}; name another folder with RUNS=… (--runs)."
        ) from None
    return folder


def investigate(plan: Plan, console: Console) -> Iterator[Result]:
    """Run the notebooks; yields their results in the order of the story when all have ended.

    On KeyboardInterrupt what is still running is stopped, every result is given as it is, and the interrupt is raised again.
    """
    results = {path: Result(path.stem, title_of(_cells(path))) for path in plan.notebooks}
    waiting = deque(plan.notebooks)
    workers = [Worker() for _ in range(min(plan.jobs, len(plan.notebooks)))]
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} cells"),
        TimeElapsedColumn(),
        console=console,
    )
    bar = progress.add_task(
        "starting", total=sum(len(_cells(path)) + 1 for path in plan.notebooks)
    )  # + the injected parameters

    def work(worker: Worker) -> None:
        while waiting:
            path = waiting.popleft()
            progress.update(bar, description=path.stem)
            result = results[path]
            _run(worker, path, plan, result, lambda: progress.advance(bar))
            if result.ran:
                why = result.error.splitlines()[0][:120] if result.error else ""
                progress.console.print(
                    f"{'✔' if result.as_told else '✘'} {path.stem:<28} {result.seconds:5.1f} s  {why}",
                    highlight=False,
                    markup=False,
                )

    pool = ThreadPoolExecutor(len(workers))
    interrupt: KeyboardInterrupt | None = None
    try:
        with progress:
            for future in as_completed([pool.submit(work, worker) for worker in workers]):
                future.result()
    except KeyboardInterrupt as error:
        interrupt = error
    finally:
        waiting.clear()
        for worker in workers:
            worker.stop()
        pool.shutdown(wait=True)
    for result in results.values():
        result.error = result.error or ("" if result.ran else "interrupted")
    yield from results.values()
    if interrupt is not None:
        raise interrupt


def _run(
    worker: Worker, path: Path, plan: Plan, result: Result, advance: Callable[[], None]
) -> None:
    evidence = plan.folder / "evidence"
    task = {
        "source": str(path),
        "target": str(plan.folder / "notebooks" / path.name),
        "evidence": str(evidence.resolve()),
        "cell_limit": plan.cell_limit,
        "parameters": plan.parameters,
    }
    last: dict[str, Any] = {}
    for facts in worker.run(task):
        last = facts
        if "cell" in facts:
            advance()
    result.seconds = last.get("seconds", 0.0)
    found = read(evidence / f"{path.stem[:2]}.json")
    result.claims, result.numbers = found.claims, found.numbers
    result.ran = "done" in last
    result.error = last.get("error", "it was stopped") or found.lacking


def _cells(notebook: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return cells


def _suffixes() -> Iterator[str]:
    yield ""
    number = 2
    while True:
        yield f"-{number}"
        number += 1
