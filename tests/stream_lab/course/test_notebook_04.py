"""The checkers of notebook 04: each natural mistake gets a message that names it."""

import asyncio
from typing import Any

import pytest

from stream_lab import Endpoint
from stream_lab.course.exercises import notebook_04
from stream_lab.experiment import scope
from stream_lab.experiment.story import ScopedChatVllm
from tests.stream_lab.course.checked import OPEN, RIGHT, checked, from_cell


@pytest.fixture(scope="module")
def log() -> scope.Log:
    found = scope.Log()

    async def cut() -> None:
        async with scope.timeout(0.01, found):
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        asyncio.run(cut())
    return found


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("expiring", RIGHT),
        ("Expiring", RIGHT),
        ("expired", "after the block"),
        ("active", "before the timer"),
        ("created", "before the block"),
        ("timer fired", "another field"),
        ("cancelled", "a word of its own"),
        (1, "a string"),
        (..., OPEN),
    ],
)
def test_the_state_after_the_timer(answer: object, word: str, log: scope.Log) -> None:
    assert word in checked("04", "1", answer, log)


def test_an_event_instead_of_its_state_is_named(log: scope.Log) -> None:
    assert "`state`" in checked("04", "1", log.find("timer fired"), log)


COUNTING = {
    "right: before the yield": (
        "    async for chunk in chunks:\n        seen.add(asyncio.current_task())\n"
        "        yield chunk",
        RIGHT,
    ),
    "right: pulls by hand": (
        "    try:\n        while True:\n            seen.add(asyncio.current_task())\n"
        "            yield await anext(chunks)\n    except StopAsyncIteration:\n        return",
        RIGHT,
    ),
    "right: names of tasks": (
        "    async for chunk in chunks:\n"
        "        seen.add(asyncio.current_task().get_name())\n        yield chunk",
        RIGHT,
    ),
    "after the yield": (
        "    async for chunk in chunks:\n        yield chunk\n"
        "        seen.add(asyncio.current_task())",
        "still empty",
    ),
    "once for the stream": (
        "    seen.add(asyncio.current_task())\n    async for chunk in chunks:\n        yield chunk",
        "for each chunk",
    ),
    "identities": (
        "    async for chunk in chunks:\n        seen.add(id(asyncio.current_task()))\n"
        "        yield chunk",
        "identity",
    ),
    "does not yield": (
        "    async for chunk in chunks:\n        seen.add(asyncio.current_task())",
        "no `yield`",
    ),
    "yields the task": (
        "    async for chunk in chunks:\n        seen.add(asyncio.current_task())\n"
        "        if False:\n            yield chunk",
        "passed on",
    ),
    "append": (
        "    async for chunk in chunks:\n        seen.append(asyncio.current_task())\n"
        "        yield chunk",
        "AttributeError",
    ),
    "skeleton": ("    raise NotImplementedError", OPEN),
    "skeleton with a yield": ("    raise NotImplementedError\n    yield", OPEN),
}


@pytest.mark.parametrize("name", COUNTING)
def test_a_generator_that_counts_tasks(name: str) -> None:
    body, word = COUNTING[name]
    code = f"async def count_tasks(chunks, seen):\n{body}\n"
    assert word in checked("04", "2", from_cell(code, "count_tasks", asyncio=asyncio))


INVOKING = {
    "right: a scope": (
        "async with asyncio.timeout(self.stream_timeout):\n"
        "            return await super()._agenerate(*args, **kwargs)",
        RIGHT,
    ),
    "right: wait_for": (
        "return await asyncio.wait_for(super()._agenerate(*args, **kwargs), self.stream_timeout)",
        RIGHT,
    ),
    "no bound": ("return await super()._agenerate(*args, **kwargs)", "nothing bounds it"),
    "another limit": (
        "async with asyncio.timeout(20):\n"
        "            return await super()._agenerate(*args, **kwargs)",
        "another value",
    ),
    "no return": (
        "async with asyncio.timeout(5):\n            pass",
        "returned None",
    ),
    "no await": (
        "async with asyncio.timeout(self.stream_timeout):\n"
        "            return super()._agenerate(*args, **kwargs)",
        "returned a coroutine",
    ),
    "itself": ("return await self._agenerate(*args, **kwargs)", "super()._agenerate"),
    "yields": (
        "async with asyncio.timeout(self.stream_timeout):\n"
        "            yield await super()._agenerate(*args, **kwargs)",
        "one result",
    ),
    "skeleton": ("raise NotImplementedError", OPEN),
}


def invoking(body: str) -> Any:
    code = (
        "class BoundedAinvoke(ScopedChatVllm):\n"
        f"    async def _agenerate(self, *args, **kwargs):\n        {body}\n"
    )
    return from_cell(code, "BoundedAinvoke", asyncio=asyncio, ScopedChatVllm=ScopedChatVllm)


@pytest.mark.parametrize("name", INVOKING)
def test_a_bounded_ainvoke(name: str, fake: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fake serves all answers; the checker starts one for each."""
    body, word = INVOKING[name]
    monkeypatch.setattr(notebook_04, "bundled", lambda *_, **__: fake)
    monkeypatch.setattr(fake, "close", lambda: None)
    # LangChain shares a client between models of the same address and time-out, and each answer has
    # an event loop of its own.
    monkeypatch.setattr(notebook_04, "OTHER_LIMIT", 20.0 + list(INVOKING).index(name))
    assert word in checked("04", "3", invoking(body))
