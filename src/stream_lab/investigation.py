"""The whole investigation: every notebook in order, what each found, and one verdict."""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream_lab.evidence import Claim, Outcome

CELL_LIMIT = 60


class InvestigationError(RuntimeError):
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
        return self.ran and not self.error and bool(self.claims) and all(c.outcome is Outcome.AS_TOLD for c in self.claims)


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
    """The numbered notebooks of a folder, in order.

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
    """A new folder for this run, named by the time.

    Raises:
        InvestigationError: it cannot be made or written to.
    """
    name = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    folder = next(runs / f"{name}{suffix}" for suffix in _suffixes() if not (runs / f"{name}{suffix}").exists())
    try:
        (folder / "notebooks").mkdir(parents=True)
        (folder / "evidence").mkdir()
    except OSError as error:
        raise InvestigationError(f"Cannot write to {runs}: {error.strerror}; name another folder with RUNS=… (--runs).") from None
    return folder


def investigate(plan: Plan, console: Console) -> Iterator[Result]:
    """Run the notebooks and give each one's result, in the order of the story, when all have ended or somebody interrupts.

    On KeyboardInterrupt what is still running is stopped, every result is given as it is, and the interrupt is raised again.
    """
    results = {path: Result(path.stem, title_of(path)) for path in plan.notebooks}
    waiting = deque(plan.notebooks)
    workers = [Worker() for _ in range(min(plan.jobs, len(plan.notebooks)))]
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} cells"),
        TimeElapsedColumn(),
        console=console,
    )
    bar = progress.add_task("starting", total=sum(len(_cells(path)) + 1 for path in plan.notebooks))  # + the injected parameters

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


class Worker:
    """A process that executes notebooks one after the other; a new one takes its place if it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Have one notebook executed; gives what the process says, the last of it with `done`. Ends early if the process dies."""
        if self._stopped:
            return
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_lab.execute"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C is for us to pass on: a kernel that is interrupted as well leaves no notebook
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except OSError:
            return
        for line in self._process.stdout:
            facts: dict[str, Any] = json.loads(line)
            yield facts
            if "done" in facts:
                return

    def stop(self) -> None:
        """End the process and its kernel, if there are any; the kernel's fake ends with it."""
        self._stopped = True
        if self._process is None or self._process.poll() is not None:
            return
        try:
            family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        _, alive = psutil.wait_procs(family, timeout=3)
        for member in alive:
            with suppress(psutil.NoSuchProcess):
                member.kill()


def title_of(notebook: Path) -> str:
    """The first heading of a notebook, without its number."""
    first = "".join(_cells(notebook)[0]["source"]).splitlines()[0]
    return first.lstrip("# ").partition("·")[2].strip().replace("`", "")


def _run(worker: Worker, path: Path, plan: Plan, result: Result, advance: Callable[[], None]) -> None:
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
    result.claims, result.numbers, complete = _read_evidence(evidence / f"{path.stem[:2]}.json")
    result.ran = "done" in last
    missing = "it did not get to its table of claims" if not complete else "it made no claim" if not result.claims else ""
    result.error = last.get("error", "it was stopped") or missing


def _read_evidence(path: Path) -> tuple[list[Claim], dict[str, float], bool]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [], {}, False
    claims = [Claim(**{**claim, "outcome": Outcome(claim["outcome"])}) for claim in body["claims"]]
    return claims, body["numbers"], body["complete"]


def _cells(notebook: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return cells


def _suffixes() -> Iterator[str]:
    yield ""
    number = 2
    while True:
        yield f"-{number}"
        number += 1
