"""The exercises of notebook 00, with the answers that readers give."""

import pytest

from tests.stream_lab.course.written import RIGHT, check, untouched

OPENS = "from stream_lab import EndpointError, open_endpoint\n"
COMPLAINTS = [
    (
        """
def answer(address):
    try:
        open_endpoint(address)
    except EndpointError as error:
        return str(error)
""",
        RIGHT,
    ),
    (
        """
def answer(address):
    try:
        with open_endpoint(address):
            return ""
    except Exception as error:
        return f"{error}"
""",
        RIGHT,
    ),
    (
        """
def answer(address):
    try:
        open_endpoint(address)
    except EndpointError as error:
        return error.args[0]
""",
        RIGHT,
    ),
    ("def answer(address):\n    return str(open_endpoint(address))", "came out"),
    (
        """
def answer(address):
    try:
        open_endpoint(address)
    except EndpointError as error:
        print(error)
""",
        "do not only print it",
    ),
    (
        """
def answer(address):
    try:
        open_endpoint(address)
    except EndpointError as error:
        return error
""",
        "str(error)",
    ),
    (
        """
def answer(address):
    try:
        open_endpoint(address)
    except EndpointError as error:
        return repr(error)
""",
        "another one",
    ),
    (
        """
def answer(address):
    try:
        open_endpoint("http://127.0.0.1:9/v1")
    except EndpointError as error:
        return str(error)
""",
        "localhost:8000",
    ),
    ("async def answer(address):\n    return ''", "`def`"),
    ("answer = 'No server answers'", "is to be a function"),
]
PIECES = [
    (
        """
        async def answer(model, question, count):
            pieces = []
            async for chunk in model.astream(question):
                if chunk.text:
                    pieces.append(chunk.text)
                if len(pieces) == count:
                    break
            return "".join(pieces)
        """,
        RIGHT,
    ),
    (
        """
        async def answer(model, question, count):
            text = ""
            async for chunk in model.astream(question):
                if chunk.content != "":
                    text += chunk.content
                    count -= 1
                    if count == 0:
                        return text
        """,
        RIGHT,
    ),
    (
        """
        async def answer(model, question, count):
            stream = model.astream(question)
            pieces = []
            while len(pieces) < count:
                if text := (await anext(stream)).text:
                    pieces.append(text)
            await stream.aclose()
            return "".join(pieces)
        """,
        RIGHT,
    ),
    (
        """
        async def answer(model, question, count):
            pieces = []
            async for chunk in model.astream(question):
                pieces.append(chunk.text)
                if len(pieces) == count:
                    break
            return "".join(pieces)
        """,
        "without text",
    ),
    (
        """
        async def answer(model, question, count):
            pieces = [chunk.text async for chunk in model.astream(question) if chunk.text]
            return "".join(pieces[:count])
        """,
        "`break`",
    ),
    (
        """
        async def answer(model, question, count):
            return (await model.ainvoke(question)).text[:count]
        """,
        "never stops",
    ),
    (
        """
        async def answer(model, question, count):
            pieces = []
            async for chunk in model.astream(question):
                if chunk.text:
                    pieces.append(chunk.text)
                if len(pieces) == count:
                    return pieces
        """,
        "Join",
    ),
    (
        """
        async def answer(model, question, count):
            pieces = []
            async for chunk in model.astream(question):
                if chunk.text:
                    pieces.append(chunk.text)
                if len(pieces) > count:
                    break
            return "".join(pieces)
        """,
        "8 came back",
    ),
    (
        """
        async def answer(model, question, count):
            async for chunk in model.astream(question):
                if chunk.text:
                    count -= 1
                if count == 0:
                    break
        """,
        "returns None",
    ),
    (
        """
        async def answer(model, question, count):
            for chunk in model.astream(question):
                return chunk.text
        """,
        "TypeError",
    ),
    ("def answer(model, question, count):\n    return 'word1'", "async def"),
]


@pytest.mark.parametrize(("code", "said"), COMPLAINTS)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_complaint(code: str, said: str) -> None:
    check("00.1", OPENS + code, said)


@pytest.mark.parametrize(("code", "said"), PIECES)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_the_first_pieces(code: str, said: str) -> None:
    check("00.2", code, said)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("00.1", "def answer(address):\n    raise NotImplementedError"),
        ("00.2", "async def answer(model, question, count):\n    raise NotImplementedError"),
    ],
)
def test_an_untouched_cell_is_no_answer(name: str, code: str) -> None:
    assert untouched(name, code)
