"""The exercises of notebook 01, with the answers that readers give."""

import pytest

from tests.stream_lab.course.written import RIGHT, check, untouched

COUNTS = [
    (
        """
        def answer(samples, left):
            after = [s for s in samples if s.at >= left]
            return (after[-1].tokens - after[0].tokens) / (after[-1].at - after[0].at) * 60
        """,
        RIGHT,
    ),
    (
        """
        def answer(samples, left):
            before = max((s for s in samples if s.at <= left), key=lambda s: s.at)
            return 60 * (samples[-1].tokens - before.tokens) / (samples[-1].at - left)
        """,
        RIGHT,
    ),
    (
        """
        def answer(samples, left):
            import itertools
            made = sum(b.tokens - a.tokens for a, b in itertools.pairwise(samples) if a.at >= left)
            return made * 60 / (samples[-1].at - left)
        """,
        RIGHT,
    ),
    (
        """
        def answer(samples, left):
            after = [s for s in samples if s.at >= left]
            return (after[-1].tokens - after[0].tokens) / (after[-1].at - after[0].at)
        """,
        "for a second",
    ),
    (
        """
        def answer(samples, left):
            after = [s for s in samples if s.at >= left]
            return after[-1].tokens - after[0].tokens
        """,
        "not yet for each minute",
    ),
    (
        "answer = lambda samples, left: samples[-1].tokens / (samples[-1].at - left) * 60",
        "server's start",
    ),
    (
        """
        def answer(samples, left):
            return (samples[-1].tokens - samples[0].tokens) / samples[-1].at * 60
        """,
        "before the caller left",
    ),
    (
        """
        def answer(samples, left):
            after = [s for s in samples if s.at >= left]
            return (after[-1].tokens - after[0].tokens) / samples[-1].at * 60
        """,
        "not by those since the request",
    ),
    ("answer = 2400", "is to be a function"),
    (
        "def answer(samples, left):\n    return samples[-1]['tokens']",
        "TypeError",
    ),
]
LOOPS = [
    (
        """
        async def answer(chunks, is_disconnected):
            pieces = []
            async for chunk in chunks:
                pieces.append(chunk)
                if await is_disconnected():
                    break
            return "".join(pieces)
        """,
        RIGHT,
    ),
    (
        """
        from contextlib import aclosing
        async def answer(chunks, is_disconnected):
            text = ""
            async with aclosing(chunks):
                async for chunk in chunks:
                    if await is_disconnected():
                        return text
                    text += chunk
            return text
        """,
        RIGHT,
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            text = ""
            while not await is_disconnected():
                try:
                    text += await anext(chunks)
                except StopAsyncIteration:
                    break
            return text
        """,
        RIGHT,
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            pieces = []
            async for chunk in chunks:
                pieces.append(chunk)
                if is_disconnected():
                    break
            return "".join(pieces)
        """,
        "without `await`",
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            if await is_disconnected():
                return ""
            return "".join([chunk async for chunk in chunks])
        """,
        "in the loop",
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            text = ""
            async for chunk in chunks:
                text += chunk
                if await is_disconnected():
                    text += "(left)"
            return text
        """,
        "read all of them",
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            pieces = [chunk async for chunk in chunks]
            if await is_disconnected():
                return ""
            return "".join(pieces)
        """,
        "in the loop",
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            pieces = []
            async for chunk in chunks:
                pieces.append(chunk)
                if await is_disconnected():
                    return ""
            return "".join(pieces)
        """,
        "arrived so far",
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            pieces = []
            async for chunk in chunks:
                pieces.append(chunk)
                if await is_disconnected():
                    break
            return pieces
        """,
        "Join the pieces",
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            async for chunk in chunks:
                if await is_disconnected():
                    break
        """,
        "returns None",
    ),
    (
        """
        async def answer(chunks, is_disconnected):
            text = ""
            while not await is_disconnected():
                text += await anext(chunks)
            return text
        """,
        "StopAsyncIteration",
    ),
    (
        """
        kept = []
        async def answer(chunks, is_disconnected):
            kept.append(chunks)
            text = ""
            async for chunk in chunks:
                text += chunk
                if await is_disconnected():
                    break
            return text
        """,
        "still open",
    ),
    ("def answer(chunks, is_disconnected):\n    return 'text'", "async def"),
]


@pytest.mark.parametrize(("code", "said"), COUNTS)
def test_tokens_a_minute(code: str, said: str) -> None:
    check("01.1", code, said)


@pytest.mark.parametrize(("code", "said"), LOOPS)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_handler_that_asks(code: str, said: str) -> None:
    check("01.2", code, said)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("01.1", "def answer(samples, left):\n    raise NotImplementedError"),
        ("01.2", "async def answer(chunks, is_disconnected):\n    raise NotImplementedError"),
    ],
)
def test_an_untouched_cell_is_no_answer(name: str, code: str) -> None:
    assert untouched(name, code)
