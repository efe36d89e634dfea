"""The exercises of notebook 02, with the answers that readers give."""

import pytest

from tests.stream_lab.course.written import RIGHT, check, untouched

HOURS = [
    ("answer = 1000 * 45 / 3600", RIGHT),
    ("answer = 12.5", RIGHT),
    ("answer = 1001 * 45 / 3600", RIGHT),
    ("answer = 45_000", "in seconds"),
    ("answer = 750", "in minutes"),
    ("answer = 45 / 3600", "one read"),
    ("answer = 45", "one read"),
    ("answer = '12.5'", "without quotes"),
    ("answer = 1000 / 45", "Multiply"),
    ("answer = lambda: 12.5", "function"),
]
BOUNDS = [
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            async with asyncio.timeout(seconds):
                return await model.ainvoke(question)
        """,
        RIGHT,
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            return (await asyncio.wait_for(model.ainvoke(question), seconds)).content
        """,
        RIGHT,
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            task = asyncio.create_task(model.ainvoke(question))
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if not done:
                task.cancel()
                raise TimeoutError
            return task.result()
        """,
        RIGHT,
    ),
    (
        """
        import anyio
        async def answer(model, question, seconds):
            with anyio.fail_after(seconds):
                return await model.ainvoke(question)
        """,
        RIGHT,
    ),
    (
        """
        import asyncio
        def answer(model, question, seconds):
            return asyncio.wait_for(model.ainvoke(question), seconds)
        """,
        RIGHT,
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            task = asyncio.create_task(model.ainvoke(question))
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if not done:
                raise TimeoutError
            return task.result()
        """,
        "the call goes on",
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            return await asyncio.wait_for(asyncio.shield(model.ainvoke(question)), seconds)
        """,
        "the call goes on",
    ),
    (
        """
        async def answer(model, question, seconds):
            return await model.bind(timeout=seconds).ainvoke(question)
        """,
        "longer",
    ),
    (
        """
        async def answer(model, question, seconds):
            return await model.ainvoke(question, timeout=seconds, max_retries=0)
        """,
        "longer",
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            try:
                async with asyncio.timeout(seconds):
                    return await model.ainvoke(question)
            except TimeoutError:
                return None
        """,
        "raise TimeoutError",
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            async with asyncio.timeout(seconds):
                return model.ainvoke(question)
        """,
        "put `await`",
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            async with asyncio.timeout(seconds):
                return model.invoke(question)
        """,
        "blocks the event loop",
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            async with asyncio.timeout(seconds):
                await model.ainvoke(question)
        """,
        "returns None",
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            try:
                return await asyncio.wait_for(model.ainvoke(question), seconds)
            except Exception:
                raise TimeoutError
        """,
        "came out as a TimeoutError",
    ),
    (
        """
        import asyncio
        async def answer(model, question, seconds):
            async with asyncio.timeout(seconds / 1000):
                return await model.ainvoke(question)
        """,
        "in time",
    ),
    (
        """
        import time
        async def answer(model, question, seconds):
            began = time.monotonic()
            found = await model.ainvoke(question)
            if time.monotonic() - began > seconds:
                raise TimeoutError
            return found
        """,
        "too late",
    ),
]
WHOLE = [
    (
        "def answer(m): return m.response_metadata.get('finish_reason') in ('stop', 'tool_calls')",
        RIGHT,
    ),
    (
        """
        def answer(message):
            reason = message.response_metadata.get("finish_reason", "")
            return reason == "stop" or reason == "tool_calls"
        """,
        RIGHT,
    ),
    (
        """
        def answer(message):
            try:
                return message.response_metadata["finish_reason"] in {"stop", "tool_calls"}
            except KeyError:
                return False
        """,
        RIGHT,
    ),
    ("def answer(m): return m.response_metadata.get('finish_reason') != 'length'", "repetition"),
    ("def answer(m): return m.response_metadata.get('finish_reason') == 'stop'", "tool_calls"),
    (
        "def answer(m): return m.response_metadata['finish_reason'] in ('stop', 'tool_calls')",
        ".get",
    ),
    (
        "def answer(m): return m.response_metadata.get('finish_reason') "
        "not in ('length', 'repetition', 'abort', 'content_filter')",
        "no finish_reason",
    ),
    (
        "def answer(m): return m.response_metadata.get('finish_reason') not in ('length', 'abort')",
        "repetition",
    ),
    ("def answer(m): return m.response_metadata.get('finish_reason')", "True or False"),
    ("def answer(m): return bool(m.content)", "cut the answer"),
    ("def answer(m): return m.finish_reason == 'stop'", "AttributeError"),
    ("answer = True", "is to be a function"),
    ("async def answer(m): return True", "without `async`"),
]


@pytest.mark.parametrize(("code", "said"), HOURS)
def test_the_longest_call(code: str, said: str) -> None:
    check("02.1", code, said)


@pytest.mark.parametrize(("code", "said"), BOUNDS)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_bound_for_a_whole_answer(code: str, said: str) -> None:
    check("02.2", code, said)


@pytest.mark.parametrize(("code", "said"), WHOLE)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_whole_answers(code: str, said: str) -> None:
    check("02.3", code, said)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("02.1", "answer = ..."),
        ("02.2", "async def answer(model, question, seconds):\n    raise NotImplementedError"),
        ("02.3", "def answer(message):\n    raise NotImplementedError"),
    ],
)
def test_an_untouched_cell_is_no_answer(name: str, code: str) -> None:
    assert untouched(name, code)
