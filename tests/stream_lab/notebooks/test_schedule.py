"""Which notebook runs when: slots, a server's own limit, and tasks that the machinery loses."""

import signal
import threading
import time
from concurrent.futures import Future
from contextlib import closing

import pytest

from stream_lab.notebooks.row import Row, Status
from stream_lab.notebooks.run_cell import Tell
from stream_lab.notebooks.schedule import run_all
from stream_lab.notebooks.task import CellResult, Here, Server, Task


def task(cell: str, server: Server | None = None) -> Task:
    name, world, notebook = cell.split("/")
    row = Row(cell, name, world, notebook, "", {}, Status.PASS)
    return Task("s", row, "", server or Server(), Here(), cell_limit=1.0)


class OneAfterTheOther:
    """An executor and its watcher: end the oldest notebook whenever no more begin.

    `began` has, for each start, the notebooks that ran then.
    """

    words = ""

    def __init__(self, slots: int, lost: str = "") -> None:
        self.slots = slots
        self.began: list[list[str]] = []
        self.stopped: list[str] = []
        self._lost = lost
        self._playing: list[tuple[Task, Future[CellResult]]] = []

    def submit(self, task: Task, tell: Tell) -> "Future[CellResult]":
        future: Future[CellResult] = Future()
        self._playing.append((task, future))
        self.began.append([task.row.cell for task, _ in self._playing])
        return future

    def cell(self, name: str, done: int) -> None: ...

    def running(self, names: list[str]) -> None:
        ended, future = self._playing.pop(0)
        if ended.row.cell == self._lost:
            future.set_exception(RuntimeError("the worker is gone"))
        else:
            future.set_result(CellResult(ended.row))

    def gone(self) -> bool:
        return False

    def stop(self, session: str) -> None:
        self.stopped.append(session)
        for ended, future in self._playing:
            future.set_result(CellResult(ended.row, evidence="half"))


def play(tasks: list[Task], executor: OneAfterTheOther) -> list[Row]:
    return [played.row for played in run_all(tasks, executor, executor)]


def test_no_more_notebooks_run_than_there_are_slots_and_each_runs_once() -> None:
    executor = OneAfterTheOther(2)
    found = play([task(f"a/x/{number}") for number in range(5)], executor)
    assert sorted(row.notebook for row in found) == ["0", "1", "2", "3", "4"]
    assert max(map(len, executor.began)) == 2


def test_nothing_else_runs_while_a_running_server_is_called() -> None:
    gpu = Server(url="http://gpu:8000/v1", limit=1)
    executor = OneAfterTheOther(2)
    play(
        [
            *(task(f"gpu/x/{number}", gpu) for number in range(3)),
            *(task(f"a/x/{number}") for number in range(3, 6)),
        ],
        executor,
    )
    assert len(executor.began) == 6
    assert all(
        playing == [cell]
        for playing in executor.began
        for cell in playing
        if cell.startswith("gpu")
    )
    assert any(len(playing) == 2 for playing in executor.began), (
        "the others are played two at a time"
    )


def test_two_runs_of_one_notebook_are_not_side_by_side_if_another_can_run() -> None:
    executor = OneAfterTheOther(2)
    play([task("a/x/11"), task("a/y/11"), task("a/x/07"), task("a/y/07")], executor)
    assert executor.began[1] == ["a/x/11", "a/x/07"]
    executor = OneAfterTheOther(2)
    play([task("a/x/11"), task("a/y/11")], executor)
    assert executor.began[1] == ["a/x/11", "a/y/11"], "and if there is no other, they are"


def test_a_task_that_the_machinery_loses_is_unknown_and_the_others_run() -> None:
    found = play([task("a/x/1"), task("a/x/2")], OneAfterTheOther(1, lost="a/x/1"))
    assert [(row.notebook, row.status) for row in found] == [
        ("1", Status.INFRA),
        ("2", Status.PASS),
    ]
    assert found[0].reason == "it could not be played: RuntimeError: the worker is gone"


class Waiting(OneAfterTheOther):
    """An executor that ends nothing, and a watcher that is interrupted when two run."""

    def running(self, names: list[str]) -> None:
        if len(names) == 2:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.01)  # Python handles the signal here at the latest


def test_ctrl_c_stops_the_notebooks_yields_their_claims_and_is_raised_again() -> None:
    executor = Waiting(2)
    found: list[CellResult] = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(run_all([task(f"a/x/{number}") for number in range(3)], executor, executor))
    assert executor.stopped == ["s"]
    assert sorted(result.row.notebook for result in found) == ["0", "1"]
    assert all(
        (result.interrupted, result.row.status, result.row.reason, result.evidence)
        == (True, Status.INFRA, "interrupted", "half")
        for result in found
    )


def test_a_consumer_that_breaks_off_stops_the_notebooks() -> None:
    executor = OneAfterTheOther(2)
    with closing(run_all([task(f"a/x/{n}") for n in range(3)], executor, executor)) as results:
        next(results)
    assert executor.stopped == ["s"]
