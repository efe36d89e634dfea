"""The checkers of notebook 05: each natural mistake gets a message that names it."""

import asyncio

import pytest

from stream_lab.experiment.call import Call
from stream_lab.experiment.trace import Pull, Recording
from tests.stream_lab.course.checked import OPEN, RIGHT, checked, from_cell

# Task 30 asks before the deadline and gets its chunk after it; the numbers do not count pulls.
PULLS = [
    Pull(10, 0.0, 0.5),
    Pull(20, 0.5, 0.9),
    Pull(30, 0.9, 1.1),
    Pull(40, 1.1, 1.3),
    Pull(50, 1.3),
]
CALL = Call(Recording(pulls=PULLS), deadline=1.0)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (30, RIGHT),
        (40, "asked after the deadline"),
        (20, "before the deadline"),
        (2, "place in the list"),
        (1, "first chunk of all"),
        ("30", "without quotes"),
        (PULLS[2], "`task`"),
        (50, "wrong"),
        (..., OPEN),
    ],
)
def test_the_task_of_the_first_late_chunk(answer: object, word: str) -> None:
    assert word in checked("05", "1", answer, CALL)


PULLING = {
    "right: one after the other": (
        "    got = 0\n    while got < 10:\n        try:\n"
        "            await asyncio.create_task(anext(generator))\n"
        "        except StopAsyncIteration:\n            break\n        got += 1\n    return got",
        RIGHT,
    ),
    "right: a coroutine for each step": (
        "    async def step():\n        return await generator.__anext__()\n"
        "    items = []\n    try:\n        for _ in range(10):\n"
        "            items.append(await asyncio.ensure_future(step()))\n"
        "    except StopAsyncIteration:\n        pass\n    return len(items)",
        RIGHT,
    ),
    "right: a group of tasks for each step, with a default": (
        "    async def step():\n        return await anext(generator, None)\n"
        "    for got in range(10):\n        async with asyncio.TaskGroup() as group:\n"
        "            task = group.create_task(step())\n"
        "        if task.result() is None:\n            return got\n    return 10",
        RIGHT,
    ),
    "plain async for": (
        "    got = 0\n    async for _ in generator:\n        got += 1\n"
        "        if got == 10:\n            break\n    return got",
        "one task pulled every item",
    ),
    "plain anext": (
        "    for _ in range(10):\n        await anext(generator)\n    return 10",
        "one task pulled every item",
    ),
    "one task for all": (
        "    async def all_of_them():\n        return len([item async for item in generator])\n"
        "    return await asyncio.create_task(all_of_them())",
        "one task pulled every item",
    ),
    "all at once": (
        "    steps = [asyncio.create_task(anext(generator)) for _ in range(10)]\n"
        "    return len(await asyncio.gather(*steps))",
        "at the same time",
    ),
    "the end of the stream": (
        "    return len([await asyncio.create_task(anext(generator)) for _ in range(10)])",
        "StopAsyncIteration",
    ),
    "returns the items": (
        "    return [await asyncio.create_task(anext(generator)) for _ in range(10)]",
        "and not the items",
    ),
    "returns nothing": (
        "    for _ in range(10):\n        await asyncio.create_task(anext(generator))",
        "returned None",
    ),
    "yields": (
        "    for _ in range(10):\n        yield await asyncio.create_task(anext(generator))",
        "one number",
    ),
    "says ten": ("    return 10", "pulled 0 items"),
    "the generator as a task": (
        "    await asyncio.create_task(generator)\n    return 10",
        "one step of the generator",
    ),
    "eleven": (
        "    for _ in range(11):\n        await asyncio.create_task(anext(generator))\n    return 11",
        "pulled 11 items",
    ),
    "skeleton": ("    raise NotImplementedError", OPEN),
}


@pytest.mark.parametrize("name", PULLING)
def test_a_function_that_pulls_as_a_chain_does(name: str) -> None:
    body, word = PULLING[name]
    code = f"async def fresh_tasks(generator):\n{body}\n"
    assert word in checked("05", "2", from_cell(code, "fresh_tasks", asyncio=asyncio))


PER_PULL = {
    "right: timeout_at": (
        "    until = asyncio.get_running_loop().time() + seconds\n    while True:\n        try:\n"
        "            async with asyncio.timeout_at(until):\n"
        "                chunk = await anext(chunks)\n"
        "        except StopAsyncIteration:\n            return\n        yield chunk",
        RIGHT,
    ),
    "right: wait_for with what is left": (
        "    import time\n    end = time.monotonic() + seconds\n    while True:\n        try:\n"
        "            chunk = await asyncio.wait_for(anext(chunks), end - time.monotonic())\n"
        "        except StopAsyncIteration:\n            break\n        yield chunk",
        RIGHT,
    ),
    "right: a reader": (
        "    queue = asyncio.Queue()\n    async def read():\n        try:\n"
        "            async with asyncio.timeout(seconds):\n"
        "                async for chunk in chunks:\n                    queue.put_nowait((chunk, None))\n"
        "            queue.put_nowait((None, StopAsyncIteration()))\n"
        "        except Exception as error:\n            queue.put_nowait((None, error))\n"
        "    task = asyncio.create_task(read())\n    try:\n        while True:\n"
        "            chunk, error = await queue.get()\n"
        "            if isinstance(error, StopAsyncIteration):\n                return\n"
        "            if error:\n                raise error\n            yield chunk\n"
        "    finally:\n        task.cancel()",
        RIGHT,
    ),
    "a scope across the yield": (
        "    async with asyncio.timeout(seconds):\n        async for chunk in chunks:\n"
        "            yield chunk",
        "in fresh tasks was not cut",
    ),
    "a new time-out for each chunk": (
        "    while True:\n        try:\n            async with asyncio.timeout(seconds):\n"
        "                chunk = await anext(chunks)\n"
        "        except StopAsyncIteration:\n            return\n        yield chunk",
        "each chunk begin a new time-out",
    ),
    "the end of the stream": (
        "    until = asyncio.get_running_loop().time() + seconds\n    while True:\n"
        "        async with asyncio.timeout_at(until):\n            chunk = await anext(chunks)\n"
        "        yield chunk",
        "StopAsyncIteration came out",
    ),
    "only a look at the clock": (
        "    import time\n    end = time.monotonic() + seconds\n    async for chunk in chunks:\n"
        "        if time.monotonic() > end:\n            raise TimeoutError\n        yield chunk",
        "silent after three chunks was not cut",
    ),
    "ends in order at the deadline": (
        "    until = asyncio.get_running_loop().time() + seconds\n    while True:\n        try:\n"
        "            async with asyncio.timeout_at(until):\n"
        "                chunk = await anext(chunks)\n"
        "        except (StopAsyncIteration, TimeoutError):\n            return\n        yield chunk",
        "half an answer",
    ),
    "catches all errors": (
        "    until = asyncio.get_running_loop().time() + seconds\n    while True:\n        try:\n"
        "            async with asyncio.timeout_at(until):\n"
        "                chunk = await anext(chunks)\n"
        "        except TimeoutError:\n            raise\n"
        "        except Exception:\n            return\n        yield chunk",
        "failed with ValueError",
    ),
    "another clock": (
        "    import time\n    until = time.time() + seconds\n    while True:\n        try:\n"
        "            async with asyncio.timeout_at(until):\n"
        "                chunk = await anext(chunks)\n"
        "        except StopAsyncIteration:\n            return\n        yield chunk",
        "was not cut",
    ),
    "no yield": ("    async for chunk in chunks:\n        pass", "no `yield`"),
    "drops the first": (
        "    await anext(chunks)\n    async for chunk in chunks:\n        yield chunk",
        "4 came out",
    ),
    "skeleton": ("    raise NotImplementedError", OPEN),
}


@pytest.mark.parametrize("name", PER_PULL)
def test_a_scope_that_survives_a_task_for_each_chunk(name: str) -> None:
    body, word = PER_PULL[name]
    code = f"async def per_pull(chunks, seconds):\n{body}\n"
    assert word in checked("05", "3", from_cell(code, "per_pull", asyncio=asyncio))
