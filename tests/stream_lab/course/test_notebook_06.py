"""The checkers of notebook 06: each natural mistake gets a message that names it."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from stream_lab.course.exercise import Wrong
from stream_lab.course.exercises.notebook_06 import judge
from stream_lab.course.own_tests import LIMIT, MARK, outcome_of, play
from stream_lab.course.store import MARKER
from stream_lab.experiment.trace import Recording
from tests.stream_lab.course.checked import OPEN, RIGHT, checked, from_cell

START = "        started = time.monotonic()\n"
LOOP = "        async for chunk in chunks:\n"
LATE = "            if time.monotonic() - started > self.seconds:\n"
CLOSE = "        finally:\n            await chunks.aclose()\n"


def guarded(loop: str) -> str:
    """Put a body into `try … finally: await chunks.aclose()`."""
    return "        try:\n" + re.sub(r"(?m)^", "    ", loop).rstrip(" ") + "\n" + CLOSE


CHECK = LOOP + LATE + "                raise TimeoutError\n            yield chunk"
ELAPSED = {
    "right: time.monotonic": (START + guarded(CHECK), RIGHT),
    "right: perf_counter and aclosing": (
        "        from contextlib import aclosing\n        end = time.perf_counter() + self.seconds\n"
        "        async with aclosing(chunks) as source:\n            async for chunk in source:\n"
        "                if time.perf_counter() > end:\n                    raise TimeoutError\n"
        "                yield chunk",
        RIGHT,
    ),
    "right: the clock of the loop, and a scope for each pull": (
        "        until = asyncio.get_running_loop().time() + self.seconds\n"
        + guarded(
            "        while True:\n            try:\n"
            "                async with asyncio.timeout_at(until):\n"
            "                    chunk = await anext(chunks)\n"
            "            except StopAsyncIteration:\n                return\n"
            "            yield chunk"
        ),
        RIGHT,
    ),
    "the start in the object": (
        "        self.started = getattr(self, 'started', None) or self.made\n"
        + guarded(CHECK.replace("- started", "- self.started")),
        "belongs to the call",
    ),
    "the start in the object, set by each call": (
        "        self.started = time.monotonic()\n"
        + guarded(CHECK.replace("- started", "- self.started")),
        "moved its start",
    ),
    "the wall clock": (
        (START + guarded(CHECK)).replace("monotonic", "time"),
        "a clock that is never set",
    ),
    "a scope across the yield": (
        "        async with asyncio.timeout(self.seconds):\n"
        "            async for chunk in chunks:\n                yield chunk",
        "across the `yield`",
    ),
    "no check": (guarded(LOOP + "            yield chunk"), "never ended"),
    "ends in order": (
        START + guarded(LOOP + LATE + "                return\n            yield chunk"),
        "half an answer",
    ),
    "an Exception": (
        START + guarded(CHECK.replace("TimeoutError", "Exception('late')")),
        "Raise TimeoutError",
    ),
    "closes nothing": (START + CHECK, "stayed open"),
    "closes only at the deadline": (
        START
        + LOOP
        + LATE
        + "                await chunks.aclose()\n                raise TimeoutError\n            yield chunk",
        "left before the deadline",
    ),
    "milliseconds": (
        START + guarded(CHECK.replace("- started", "- started + 1000")),
        "was cut",
    ),
    "catches all errors": (
        START
        + "        try:\n"
        + re.sub(r"(?m)^", "    ", CHECK)
        + "\n        except TimeoutError:\n            raise\n        except Exception:\n"
        "            return\n" + CLOSE,
        "failed with ValueError",
    ),
    "no yield": (LOOP + "            pass", "no `yield`"),
    "skeleton": ("        raise NotImplementedError", OPEN),
}


@pytest.mark.parametrize("name", ELAPSED)
def test_a_deadline_by_the_elapsed_time(name: str) -> None:
    body, word = ELAPSED[name]
    code = (
        "class Deadline:\n    def __init__(self, seconds):\n        self.seconds = seconds\n"
        f"        self.made = time.monotonic()\n    async def bounded(self, chunks):\n{body}\n"
    )
    assert word in checked("06", "1", from_cell(code, "Deadline", asyncio=asyncio, time=time))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (1.5, RIGHT),
        (1.55, RIGHT),
        (1.0, "begins again|began again"),
        (0.5, "last chunk arrived"),
        ("1.5", "without quotes"),
        (2.0, "wrong"),
        (..., OPEN),
    ],
)
def test_the_end_of_the_stalled_call(answer: object, word: str) -> None:
    recording = Recording(arrivals=[0.1, 0.3, 0.5])
    assert re.search(word, checked("06", "2", answer, recording, 1.0))


MODEL = "model_class(base_url=fake_vllm.base_url, model=fake_vllm.model, api_key='-', timeout=0.3)"
CHAIN = f"(ChatPromptTemplate.from_messages([('user', 'Hi')]) | {MODEL})"
RAISES = "    with pytest.raises(TimeoutError):\n"
COUNTED = (
    "        n = 0\n        async for _ in STREAM:\n            n += 1\n            assert n < 60\n"
)
OWN_TESTS: dict[str, tuple[str, str, str]] = {
    "right": ("endless", RAISES + COUNTED.replace("STREAM", f"{CHAIN}.astream({{}})"), RIGHT),
    "right_by_the_clock": (
        "endless",
        "    import time\n    started = time.monotonic()\n    try:\n"
        f"        async for _ in {CHAIN}.astream({{}}):\n"
        "            assert time.monotonic() - started < 0.8\n"
        "    except TimeoutError:\n        return\n    pytest.fail('no TimeoutError')\n",
        RIGHT,
    ),
    "right_with_asyncio_run": (
        "endless",
        "    import asyncio\n    async def read():\n"
        + RAISES.replace("    with", "        with")
        + re.sub(r"(?m)^(?=.)", "    ", COUNTED.replace("STREAM", f"{CHAIN}.astream({{}})"))
        + "    await asyncio.create_task(read())\n",
        RIGHT,
    ),
    "no_chain": (
        "endless",
        RAISES + COUNTED.replace("STREAM", f"{MODEL}.astream('Hi')"),
        "does your test use a chain",
    ),
    "finite": (
        "finite:tokens=5",
        f"    async for _ in {CHAIN}.astream({{}}):\n        pass\n",
        "which scenario",
    ),
    "own_bound": (
        "endless",
        "    import asyncio\n"
        + RAISES
        + "        async with asyncio.timeout(0.7):\n"
        + f"            async for _ in {CHAIN}.astream({{}}):\n                pass\n",
        "own taken for",
    ),
    "unbounded": (
        "endless",
        RAISES + f"        async for _ in {CHAIN}.astream({{}}):\n            pass\n",
        "never ends",
    ),
    "forgotten_name": ("endless", "    await chain.astream({})\n", "this cell only"),
    "always_green": ("endless", f"    {MODEL}\n", "never streams"),
    "expects_an_answer": (
        "endless",
        COUNTED.replace("        ", "    ", 1)
        .replace("        async", "    async")
        .replace("            ", "        ")
        .replace("STREAM", f"{CHAIN}.astream({{}})"),
        "red for the fix",
    ),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """One run of pytest plays all tests of the table."""
    folder = tmp_path_factory.mktemp("own")
    code = ["import pytest", "from langchain_core.prompts import ChatPromptTemplate"]
    for name, (scenario, body, _) in OWN_TESTS.items():
        code.append(
            f"@pytest.mark.fake_vllm('{scenario}')\n"
            f"async def test_{name}(model_class, fake_vllm):\n{body}"
        )
    file = folder / "test_deadline.py"
    file.write_text("\n\n".join(code), encoding="utf-8")
    return play(file, folder, limit=4.0)


@pytest.mark.parametrize("name", OWN_TESTS)
def test_a_test_of_the_readers_own(name: str, results: tuple[list[dict[str, Any]], str]) -> None:
    found, output = results
    mine = [each for each in found if each["test"].startswith(f"test_{name}[")]
    said = RIGHT
    try:
        judge(outcome_of(mine, output))
    except Wrong as wrong:
        said = str(wrong)
    assert re.search(OWN_TESTS[name][2], said), said


def test_the_notebook_says_when_a_test_is_ended() -> None:
    source = Path(__file__).parents[3] / "notebooks" / "source" / "06_the_elapsed_time_fix.py"
    assert f"is ended after {LIMIT:g} seconds" in source.read_text(encoding="utf-8")


def test_the_cell_becomes_a_file_beside_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MARKER).mkdir()
    monkeypatch.chdir(tmp_path)
    test = from_cell("def test_nothing():\n    pass\n", "test_nothing")
    assert "`model_class`" in checked("06", "3", test)
    assert (tmp_path / "test_deadline.py").read_text(encoding="utf-8").startswith(MARK)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("def test_it(model_class):\n    raise NotImplementedError\n", OPEN),
        ("def it(model_class):\n    pass\n", "begin with `test_`"),
    ],
)
def test_an_answer_that_pytest_would_not_run(code: str, word: str) -> None:
    name = re.findall(r"def (\w+)", code)[0]
    assert word in checked("06", "3", from_cell(code, name))
