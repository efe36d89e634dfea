"""Who is played when: slots, an endpoint's own limit, and what becomes of a task that the machinery lost."""

from concurrent.futures import Future
from typing import Any

from stream_lab.regress.config import EndpointSpec
from stream_lab.regress.row import Row, Status
from stream_lab.regress.run_cell import CellResult, Task
from stream_lab.regress.schedule import run_all
from stream_lab.regress.snapshot import Snapshot
from stream_lab.regress.worlds import World


def task(cell: str, endpoint: EndpointSpec | None = None) -> Task:
    name, world, notebook = cell.split("/")
    row = Row(cell, name, world, notebook, "", {}, Status.PASS)
    return Task(
        "s",
        row,
        "",
        endpoint or EndpointSpec(),
        None,
        World(world, None, None),
        Snapshot("", b""),
        1.0,
        1.0,
        0,
    )


class OneAfterTheOther:
    """Ends the oldest cell whenever no more are begun; writes down what was being played when each one began."""

    words = ""

    def __init__(self, slots: int, lost: str = "") -> None:
        self.slots = slots
        self.began: list[list[str]] = []
        self._lost = lost
        self._playing: list[tuple[Task, Future[CellResult]]] = []

    def submit(self, task: Task) -> "Future[CellResult]":
        future: Future[CellResult] = Future()
        self._playing.append((task, future))
        self.began.append([task.row.cell for task, _ in self._playing])
        return future

    def end_one(self, _: object = None) -> None:
        ended, future = self._playing.pop(0)
        if ended.row.cell == self._lost:
            future.set_exception(RuntimeError("the worker is gone"))
        else:
            future.set_result(CellResult(ended.row))

    def gone(self) -> bool:
        return False

    def stop(self, session: str) -> None: ...

    def __enter__(self) -> "OneAfterTheOther":
        return self

    def __exit__(self, *_: Any) -> None: ...


def play(tasks: list[Task], executor: OneAfterTheOther) -> list[Row]:
    return [played.row for played in run_all(tasks, executor, executor.end_one)]


def test_no_more_are_played_than_there_are_slots_and_each_is_played_once() -> None:
    executor = OneAfterTheOther(2)
    found = play([task(f"a/x/{number}") for number in range(5)], executor)
    assert sorted(row.notebook for row in found) == ["0", "1", "2", "3", "4"]
    assert max(map(len, executor.began)) == 2


def test_while_a_server_that_runs_already_is_asked_nothing_else_is_played() -> None:
    gpu = EndpointSpec(url="http://gpu:8000/v1")
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


def test_two_of_one_notebook_are_not_played_side_by_side_if_there_is_another() -> None:
    executor = OneAfterTheOther(2)
    play([task("a/x/11"), task("a/y/11"), task("a/x/07"), task("a/y/07")], executor)
    assert executor.began[1] == ["a/x/11", "a/x/07"]
    executor = OneAfterTheOther(2)
    play([task("a/x/11"), task("a/y/11")], executor)
    assert executor.began[1] == ["a/x/11", "a/y/11"], "and if there is no other, they are"


def test_a_task_that_the_machinery_lost_could_not_be_told_and_the_rest_is_played() -> None:
    found = play([task("a/x/1"), task("a/x/2")], OneAfterTheOther(1, lost="a/x/1"))
    assert [(row.notebook, row.status) for row in found] == [
        ("1", Status.INFRA),
        ("2", Status.PASS),
    ]
    assert found[0].reason == "it could not be played: RuntimeError: the worker is gone"
