"""A scope's log as frames, which are the same in every run."""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from html import unescape

import pytest

from stream_lab import record, scope, traced
from stream_lab.experiment import pictures
from stream_lab.experiment.frames import LINES, STATES, Frame, frames
from stream_lab.experiment.scope import Event, Log, TaskState
from stream_lab.experiment.stepped_page import page


async def expires(log: Log) -> None:
    async with scope.timeout(0.03, log):
        await asyncio.sleep(5)


async def left_in_time(log: Log) -> None:
    async with scope.timeout(5, log):
        await asyncio.sleep(0)


async def no_deadline(log: Log) -> None:
    async with scope.timeout(None, log):
        await asyncio.sleep(0.01)


async def moved(log: Log) -> None:
    async with scope.timeout(5, log) as cm:
        await asyncio.sleep(0)
        cm.reschedule(asyncio.get_running_loop().time() + 7)


async def another_error(log: Log) -> None:
    async with scope.timeout(5, log):
        raise ValueError("its own")


async def error_after_expiry(log: Log) -> None:
    async with scope.timeout(0.03, log):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise TimeoutError("its own") from None


async def three_tasks(log: Log) -> None:
    async def body() -> None:
        await asyncio.sleep(0.06)

    cm = scope.timeout(0.03, log)
    await asyncio.create_task(cm.__aenter__())
    await asyncio.create_task(body())
    await asyncio.create_task(cm.__aexit__(None, None, None))


async def nested(log: Log) -> None:
    async with scope.timeout(5, log), scope.timeout(3, log):
        await asyncio.sleep(0)


class Ticking:
    """A model with a scope inside, like the second attempt of the story."""

    async def _astream(self) -> AsyncIterator[str]:
        async with asyncio.timeout(0.15):
            for pause in (0, 0, 0.3):
                await asyncio.sleep(pause)
                yield "tick"  # noqa: ASYNC119 - the mistake is the subject


async def chained() -> AsyncIterator[str]:
    """Pull from it as a chain does, each chunk in a task of its own."""
    chunks = traced(Ticking)()._astream()
    while True:
        try:
            yield await asyncio.create_task(anext(chunks))  # type: ignore[arg-type]
        except StopAsyncIteration:
            return


def played(case: Callable[[Log], Awaitable[None]]) -> list[Frame]:
    log = Log()

    async def play() -> None:
        try:
            await case(log)
        except (TimeoutError, ValueError):
            log.mark("outside")

    asyncio.run(play())
    return frames(log)


def played_in_a_chain() -> list[Frame]:
    async def play() -> Log:
        with scope.observed() as log:
            await record(chained(), give_up_after=5)
        return log

    return frames(asyncio.run(play()))


TOLD: dict[Callable[[Log], Awaitable[None]], str] = {
    expires: """
        created | none | running
        active | the scope: due 0.03 s after step 2 | running
        active | the scope: due 0.03 s after step 2, task 1's sleep: due 5 s after its start | waiting in sleep(5)
        active | task 1's sleep: due 5 s after its start | waiting in sleep(5)
        expiring | task 1's sleep: due 5 s after its start | waiting in sleep(5), cancelling() = 1
        expiring | none | running, cancelling() = 1
        expired | none | running
        expired | none | running""",
    left_in_time: """
        created | none | running
        active | the scope: due 5 s after step 2 | running
        active | the scope: due 5 s after step 2 | waiting
        finished | none | running""",
    no_deadline: """
        created | none | running
        active | none | running
        active | task 1's sleep: due 0.01 s after its start | waiting in sleep(0.01)
        finished | none | running""",
    moved: """
        created | none | running
        active | the scope: due 5 s after step 2 | running
        active | the scope: due 5 s after step 2 | waiting
        active | the scope: due 7 s after step 4 | running
        finished | none | running""",
    another_error: """
        created | none | running
        active | the scope: due 5 s after step 2 | running
        active | the scope: due 5 s after step 2 | running
        finished | none | running
        finished | none | running""",
    three_tasks: """
        created | none | running
        active | the scope: due 0.03 s after step 2 | waiting; running
        active | the scope: due 0.03 s after step 2 | waiting; done
        active | task 3's sleep: due 0.06 s after its start | waiting; done; waiting in sleep(0.06)
        expiring | task 3's sleep: due 0.06 s after its start | waiting; done; waiting in sleep(0.06)
        expired | none | waiting; done; done; running""",
}


def shown(frame: Frame) -> str:
    tasks = [
        f"{task.doing}{task.words}" + (f", {task.count}" if task.cancelling else "")
        for task in frame.tasks
    ]
    return f"{frame.state} | {', '.join(frame.timers) or 'none'} | {'; '.join(tasks)}"


@pytest.mark.parametrize("case", TOLD, ids=lambda case: case.__name__)
def test_each_step_shows_the_state_the_timers_and_the_tasks(
    case: Callable[[Log], Awaitable[None]],
) -> None:
    assert [shown(frame) for frame in played(case)] == [
        line.strip() for line in TOLD[case].strip().splitlines()
    ]


@pytest.mark.parametrize(
    ("case", "line", "says"),
    [
        (expires, "raise TimeoutError", "takes its cancellation back and raises TimeoutError."),
        (error_after_expiry, "self._task.uncancel()", "which is expired; TimeoutError goes on."),
        (another_error, "_State.EXITED", "the timer is dropped, and ValueError goes on."),
        (left_in_time, "_State.EXITED", "in time: the timer is dropped."),
        (three_tasks, "self._task.uncancel()", "which is expired and raises nothing."),
    ],
)
def test_the_exit_says_what_comes_out_of_the_scope(
    case: Callable[[Log], Awaitable[None]], line: str, says: str
) -> None:
    left = next(frame for frame in played(case) if " leaves the scope" in frame.what)
    assert left.what.endswith(says)
    assert line in left.line


def test_every_step_of_a_scope_names_a_line_of_the_installed_asyncio() -> None:
    for told in LINES.values():
        method, _, line = told.partition(": ")
        assert line in inspect.getsource(getattr(asyncio.Timeout, method)), told
    source = inspect.getsource(asyncio.timeouts)
    assert all(f'{name} = "{word}"' in source for word, name in STATES.items())
    inside = [frame for frame in played(expires) if frame.what != "Task 1: outside."]
    assert [bool(frame.line) for frame in inside] == [True, True, False, True, True, True, True]


def test_in_a_chain_the_timer_cancels_the_first_task_while_a_later_one_waits() -> None:
    told = played_in_a_chain()
    due, fired, late = (
        next(frame for frame in told if text in frame.what)
        for text in ("is due", "cancels task 1", "gets a chunk")
    )
    assert "task 3 is waiting for a chunk" in due.what
    assert [str(task) for task in fired.tasks] == [
        "task 1: done, ★ remembered by the scope",
        "task 2: done",
        "task 3: waiting for a chunk, cancelling() = 0",
    ]
    assert "which has already ended" in fired.what
    assert late.what == "Task 3 gets a chunk: the cancellation has not stopped it."
    assert sum("chunk" in frame.what for frame in told) == 3


def test_many_tasks_in_one_state_are_one_line() -> None:
    tasks = tuple(TaskState(number, scope.DONE) for number in range(1, 31))
    log = Log()
    log.steps = [
        Event(
            2.0, "timer fired", "expiring", 0, 1, True, 0,
            tasks=(*tasks, TaskState(31, scope.WAITING, pulls=True)),
        )
    ]  # fmt: skip
    assert [task.name for task in frames(log)[0].tasks] == ["task 1", "tasks 2 to 30", "task 31"]


def test_scopes_of_one_log_are_told_apart_by_number() -> None:
    last = played(nested)[3]
    assert last.scope == "scope 2"
    assert last.timers == ("scope 1: due 5 s after step 2", "scope 2: due 3 s after step 4")


def test_two_runs_give_the_same_view() -> None:
    first, second = (played(expires) for _ in range(2))
    assert first == second
    assert page(first, "Time runs out") == page(second, "Time runs out")


def test_the_view_is_stepped_by_labels_and_needs_neither_script_nor_network() -> None:
    log = Log()
    asyncio.run(left_in_time(log))
    picture = pictures.stepped(log, title="Left & gone")
    html: str = picture._repr_mimebundle_()[0]["text/html"]
    buttons = re.findall(r'<input type="radio" name="([\w-]+)" id="([\w-]+)"( checked)?', html)
    assert len({name for name, _, _ in buttons}) == 1
    assert [bool(checked) for _, _, checked in buttons] == [True, False, False, False]
    ids = [button for _, button, _ in buttons]
    assert re.findall(r'<label for="([\w-]+)"', html) == [
        ids[0], ids[1], ids[0], ids[2], ids[1], ids[3], ids[2], ids[3]
    ]  # fmt: skip
    assert html.count('style="display:none"') == len(buttons), "without a style sheet, none shows"
    assert html.count("></label>") == 2 * len(buttons), "likewise"
    assert not re.search(r"<script|https?:|url\(|@import| on\w+=", html)
    words = unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "", html, flags=re.DOTALL))
    assert "Left & gone" in words
    assert all(frame.what in words and frame.what in picture.alt for frame in frames(log))
