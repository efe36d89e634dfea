"""The ways to call a model, and which tasks pull its chunks."""

import asyncio
import time
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate

from stream_lab import Endpoint, traced
from stream_lab.experiment import call_shapes, verdict
from stream_lab.experiment.call_shapes import FIRST_APART, FRESH, NONE, ONE, Shapes, pulled_by
from stream_lab.experiment.story import ScopedChatVllm
from stream_lab.experiment.trace import Ending, Pull, Recording


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([], NONE),
        ([1], ONE),
        ([1, 1, 1], ONE),
        ([1, 2, 3], FRESH),
        ([1, 2, 2, 2], FIRST_APART),
        ([1, 1, 2, 3], "several tasks"),
    ],
)
def test_the_tasks_of_a_call_in_words(tasks: list[int], words: str) -> None:
    assert pulled_by(Recording(pulls=[Pull(task, 0.0, 0.1) for task in tasks])) == words


def test_a_pull_that_got_nothing_does_not_count() -> None:
    assert pulled_by(Recording(pulls=[Pull(1, 0.0, 0.1), Pull(2, 0.1)])) == ONE


def test_a_deadline_that_holds_in_fresh_tasks_is_an_exception() -> None:
    fresh = [Pull(1, 0.0, 0.1), Pull(2, 0.1, 0.2)]
    calls = {
        "as told": Recording(pulls=fresh, ending=Ending.GAVE_UP),
        "not as told": Recording(pulls=fresh, ending=Ending.CUT),
    }
    assert Shapes(calls).exceptions == "not as told"
    del calls["not as told"]
    assert Shapes(calls).exceptions == "no call differs"
    calls["as told"].stood_still = 1.0
    assert Shapes(calls).exceptions is verdict.STARVED


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.GAVE_UP])
def test_a_call_without_a_chunk_tells_nothing(ending: Ending) -> None:
    late = Recording(pulls=[Pull(1, 0.3)], ending=ending)
    assert Shapes({"late": late}).exceptions is verdict.NO_CHUNK


def test_calls_of_a_busy_machine_are_made_again(
    fake: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first try the loop stands still until the deadline has passed."""
    monkeypatch.setattr(call_shapes, "shapes", only_a_chain)
    model = traced(ScopedChatVllm)(**fake.settings, timeout=0.3, max_retries=0)

    async def measured() -> Shapes:
        asyncio.get_running_loop().call_later(0.001, time.sleep, 0.4)
        return await call_shapes.measure(model, give_up_after=0.9)

    assert asyncio.run(measured()).exceptions == "no call differs"


def only_a_chain(model: Any) -> dict[str, call_shapes.Shape]:
    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | model
    return {"(prompt | model).astream": lambda: chain.astream({"question": "Why?"})}


def test_a_pipe_does_not_end_a_cell_of_the_table() -> None:
    table = Shapes({"(prompt | model).astream": Recording()})._repr_markdown_()
    assert table.splitlines()[-1].count("|") == 4


def test_a_scope_holds_in_the_shapes_that_one_task_pulls(fake: Endpoint) -> None:
    """All shapes are called at once, on one server."""
    model = traced(ScopedChatVllm)(**fake.settings, timeout=0.5, max_retries=0)
    found = asyncio.run(call_shapes.measure(model, give_up_after=2.5))
    assert found.exceptions == "no call differs"
    assert found.pulled_by("model.astream") == ONE
    assert found.pulled_by("(prompt | model).astream") == FRESH
    assert found.pulled_by("model.with_fallbacks([…]).astream") == FIRST_APART
