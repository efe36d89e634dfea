"""Tracebacks and tasks without what differs from machine to machine."""

import asyncio
import re

from stream_lab.experiment import shortened


async def cut() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(5)


def caught() -> TimeoutError:
    try:
        asyncio.run(cut())
    except TimeoutError as error:
        return error
    raise AssertionError


def test_a_traceback_has_the_cause_first_and_a_line_for_each_frame() -> None:
    text = shortened.traceback(caught())
    before, between, after = text.partition(shortened.DIRECT)
    assert between
    assert before.splitlines()[-2].strip() == "CancelledError"
    assert after.splitlines()[-1] == "TimeoutError"
    assert "  asyncio/tasks.py, in sleep" in before.splitlines()
    assert "  asyncio/timeouts.py, in __aexit__" in after.splitlines()


def test_a_traceback_has_no_path_of_this_machine() -> None:
    frames = [line for line in shortened.traceback(caught()).splitlines() if ", in " in line]
    assert frames
    assert not [line for line in frames if line.strip().startswith("/")]


def test_a_frame_of_a_cell_is_this_notebook() -> None:
    try:
        exec(compile("1 / 0", "/x/ipykernel_12/34.py", "exec"))
    except ZeroDivisionError as error:
        text = shortened.traceback(error)
    assert f"  {shortened.HERE}, in <module>" in text
    assert text.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_a_task_keeps_its_state_and_gets_another_name() -> None:
    async def one_step() -> None:
        pass

    async def shown() -> tuple[str, str]:
        task = asyncio.create_task(one_step(), name="a name of its own")
        before = repr(task)
        await task
        return before, repr(task)

    before, after = (shortened.task(each, "Task-1") for each in asyncio.run(shown()))
    assert re.fullmatch(r"<Task pending name='Task-1' coro=<\S*one_step\(\)> …>", before)
    assert after == before.replace("pending", "finished")


def test_a_step_of_a_generator_is_a_task_without_a_name() -> None:
    shown = (
        "<Task finished name='Task-9' coro=<<async_generator_asend without __name__>()> "
        "result=AIMessageChunk(content='no', id='lc_run--1')>"
    )
    assert shortened.task(shown, "Task-1") == (
        "<Task finished name='Task-1' coro=<<async_generator_asend without __name__>()> …>"
    )
