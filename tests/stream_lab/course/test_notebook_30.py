"""The checkers of notebook 30: each natural mistake gets a message that names it."""

import inspect
import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_vllm.testing import FakeVllm
from stream_lab.course.exercise import Wrong
from stream_lab.course.exercises.notebook_30 import judge_of_the_server, must_ask_the_fake
from stream_lab.course.own_tests import LIMIT, Outcome, Result, outcome_of, play
from tests.stream_lab.course.checked import OPEN, RIGHT, checked, from_cell

MODEL = "model_class(base_url=fake_vllm.base_url, model=fake_vllm.model, api_key='-', timeout=0.3)"
READ = f"""
chain = ChatPromptTemplate.from_messages([('user', 'Hi')]) | {MODEL}
async def read():
    with suppress(TimeoutError):
        async for _ in chain.astream({{}}):
            pass
"""
FREE = "assert fake_vllm.requests[0].slot_freed is not None\n"
IN_A_TASK = READ + "task = asyncio.create_task(read())\n"
TESTS: dict[str, tuple[str, str]] = {
    "right": (
        IN_A_TASK + f"await asyncio.sleep(1.0)\ntry:\n    {FREE}finally:\n    task.cancel()\n",
        RIGHT,
    ),
    "right_with_a_wait_in_steps": (
        IN_A_TASK
        + "for _ in range(24):\n    await asyncio.sleep(0.05)\n"
        + "    if fake_vllm.requests and fake_vllm.requests[0].slot_freed:\n        return\n"
        + "pytest.fail('it still generates')\n",
        RIGHT,
    ),
    "right_with_the_fixtures_own_wait": (
        IN_A_TASK + "await fake_vllm.aio.until_freed(timeout=1.2)\n",
        RIGHT,
    ),
    "right_and_asks_again_when_it_has_failed": (
        IN_A_TASK
        + f"await asyncio.sleep(1.0)\ntry:\n    {FREE}finally:\n    task.cancel()\n"
        + "    await asyncio.wait({task})\n    await fake_vllm.aio.until_freed(timeout=1)\n",
        RIGHT,
    ),
    # LangChain leaves the stream of a reader open that is cancelled between two chunks.
    "right_although_the_wait_in_its_clean_up_fails": (
        READ.replace("async for _ in chain.astream({})", "async for _ in opened[0]").replace(
            "            pass", "            await asyncio.sleep(0.05)"
        )
        + "opened = [chain.astream({})]\ntask = asyncio.create_task(read())\n"
        + f"await asyncio.sleep(1.0)\ntry:\n    {FREE}finally:\n    task.cancel()\n"
        + "    await asyncio.wait({task})\n    await fake_vllm.aio.until_freed(timeout=1)\n",
        RIGHT,
    ),
    "wait_for_and_asks_at_once": (
        READ + "with suppress(TimeoutError):\n    await asyncio.wait_for(read(), 0.6)\n" + FREE,
        "ends the stream itself",
    ),
    "a_scope_around_the_loop": (
        READ.replace("with suppress(TimeoutError):", "async with asyncio.timeout(0.6):")
        + "with suppress(TimeoutError):\n    await read()\nawait asyncio.sleep(0.2)\n"
        + FREE,
        "ends the stream itself",
    ),
    "cancels_and_then_asks": (
        IN_A_TASK + "await asyncio.sleep(0.6)\ntask.cancel()\nawait asyncio.wait({task})\n" + FREE,
        "do not cancel it before the assertion",
    ),
    "leaves_after_some_chunks": (
        READ.replace(
            "            pass",
            "            n = locals().get('n', 0) + 1\n            if n > 40:\n                break",
        )
        + "await read()\nawait asyncio.sleep(0.3)\n"
        + FREE,
        "ends the stream itself",
    ),
    "bare_loop": (READ + "await read()\n" + FREE, "in a task"),
    "does_not_wait": (
        IN_A_TASK + f"await asyncio.sleep(0.1)\ntry:\n    {FREE}finally:\n    task.cancel()\n",
        "red for the fix",
    ),
    "no_chain": (
        IN_A_TASK.replace("chain.astream({})", f"{MODEL}.astream('Hi')")
        + f"await asyncio.sleep(0.6)\ntry:\n    {FREE}finally:\n    task.cancel()\n",
        "does your test use a chain",
    ),
    "expects_the_error": (
        READ.replace("suppress", "pytest.raises") + "await read()\n" + FREE,
        "leave `pytest.raises` out",
    ),
    "asks_nothing": (IN_A_TASK + "await asyncio.sleep(0.6)\ntask.cancel()\n", "never asks"),
}
HEAD = (
    "import asyncio\nfrom contextlib import suppress\n\nimport pytest\n"
    "from langchain_core.prompts import ChatPromptTemplate"
)
REFUSED_BY_ITS_CODE = {"expects_the_error", "asks_nothing"}


def written(name: str) -> str:
    return (
        f"@pytest.mark.fake_vllm('endless')\nasync def test_{name}(model_class, fake_vllm):\n"
        + textwrap.indent(TESTS[name][0].strip(), "    ")
        + "\n"
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """One run of pytest plays all tests of the table."""
    folder = tmp_path_factory.mktemp("own")
    file = folder / "test_deadline.py"
    played = [name for name in TESTS if name not in REFUSED_BY_ITS_CODE]
    file.write_text("\n\n\n".join([HEAD, *map(written, played)]), encoding="utf-8")
    for _ in range(3):
        found, output = play(file, folder, limit=3.0)
        # The model's time-out is that of a socket read, too, and a machine that stands still for
        # so long ends a stream by it.
        if not any(each["broken"] for each in found):
            break
    return found, output


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_asks_the_server(name: str, results: tuple[list[dict[str, Any]], str]) -> None:
    found, output = results
    mine = [each for each in found if each["test"].startswith(f"test_{name}[")]
    said = RIGHT
    try:
        must_ask_the_fake(written(name))
        judge_of_the_server(outcome_of(mine, output))
    except Wrong as wrong:
        said = str(wrong)
    assert re.search(TESTS[name][1], said), f"{said}: {mine}"


def test_two_waits_for_the_fake_that_fail_end_before_the_limit_of_a_test() -> None:
    waits = inspect.signature(FakeVllm.until_freed).parameters["timeout"].default
    assert 2 * waits + 1 < LIMIT


def test_the_wait_in_a_clean_up_fails(results: tuple[list[dict[str, Any]], str]) -> None:
    """Otherwise its row of the table would show nothing."""
    name = "test_right_although_the_wait_in_its_clean_up_fails[attempt 1]"
    (mine,) = (each for each in results[0] if each["test"] == name)
    assert "within 1 s" in mine["said"]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("def test_it(model_class):\n    raise NotImplementedError\n", OPEN),
        ("def it(model_class, fake_vllm):\n    pass\n", "begin with `test_`"),
    ],
)
def test_an_answer_that_pytest_would_not_run(code: str, word: str) -> None:
    name = re.findall(r"def (\w+)", code)[0]
    assert word in checked("30", "2", from_cell(code, name))


def test_a_test_that_is_red_because_its_stream_failed_has_shown_nothing() -> None:
    red = Result(
        passed=False, hung=False, said="APITimeoutError", streams=1, chunks=9, late=3, tasks=9,
        finished=False, asked_late=False, broken="APITimeoutError",
    )  # fmt: skip
    with pytest.raises(Wrong, match=r"failed by itself \(`APITimeoutError`\)"):
        judge_of_the_server(Outcome(red, replace(red, passed=True, broken="")))


def test_a_stream_that_fails_is_noted_with_its_error(tmp_path: Path) -> None:
    """The fake falls silent for longer than a socket read may take."""
    file = tmp_path / "test_deadline.py"
    code = written("bare_loop").replace("'endless'", "'endless+stall:after=20'")
    file.write_text(HEAD + "\n\n\n" + code, encoding="utf-8")
    found, output = play(file, tmp_path, limit=3.0)
    attempt = outcome_of(found, output).attempt
    assert not attempt.hung
    assert "Timeout" in attempt.broken, f"{found}\n{output}"


def test_a_test_that_is_red_before_a_late_chunk_has_shown_nothing() -> None:
    red = Result(
        passed=False, hung=False, said="assert None", streams=1, chunks=0, late=0, tasks=1,
        finished=False, asked_late=False,
    )  # fmt: skip
    with pytest.raises(Wrong, match="no chunk had come after the deadline"):
        judge_of_the_server(Outcome(red, replace(red, passed=True)))
