"""`first_chunk_timeout` and `idle_timeout` bound streams, and nothing else, in every way to set them."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from stream_deadline import ChatVllm, StreamDeadlineExceeded
from tests.at_once import at_once
from tests.stream_deadline.calls import STREAMS, WHOLES, streaming
from tests.stream_deadline.scripted import Answer, Request, Scripted, delta, stream, whole

PART = 1.0  # long enough for a request to reach the server, however busy the machine is
LONGER = 2.0
PARTS = {"first_chunk_timeout": PART, "idle_timeout": PART}
BOTH = ("first_chunk_timeout", "idle_timeout")


class Reply(BaseModel):
    """A reply."""

    text: str


def tool(text: str) -> str:
    """Say it."""
    return text


def answer(request: Request) -> Answer:
    """A slow whole answer; a stream that falls silent, at once or after a word."""
    if request.body.get("stream"):
        said = [delta("one ")] if request.headers.get("x-says") else []
        return stream(delta("", role="assistant"), *said, done=False, stalls=True)
    call = {
        "id": "t",
        "type": "function",
        "function": {"name": "Reply", "arguments": '{"text": "hi"}'},
    }
    calls = [call] if "tools" in request.body else None
    return Answer(**{**vars(whole('{"text": "hi"}', tool_calls=calls)), "wait": LONGER})


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with Scripted(answer) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _everything_is_imported() -> None:
    """The first call of a kind imports and compiles, for seconds on a busy machine."""
    with Scripted(stream(delta("one"), delta(finish="stop"))) as server:
        for call in STREAMS.values():
            call(ChatVllm(**server.settings))


GIVEN: dict[str, Callable[..., Any]] = {
    "constructor": lambda settings, **parts: ChatVllm(**settings, **parts),
    "bind": lambda settings, **parts: ChatVllm(**settings).bind(**parts),
    "copy": lambda settings, **parts: ChatVllm(**settings).model_copy(update=parts),
    "bound twice": lambda settings, **parts: ChatVllm(**settings).bind(stop=["x"]).bind(**parts),
}


METHODS = ("json_schema", "function_calling", "json_mode")


def structured(method: Any, is_async: bool) -> Callable[[Any], Any]:
    def call(model: Any, **parts: float) -> Any:
        chain = model.with_structured_output(Reply, method=method, **parts)
        return asyncio.run(chain.ainvoke("Why?")) if is_async else chain.invoke("Why?")

    return call


def with_tools(is_async: bool) -> Callable[[Any], Any]:
    def call(model: Any, **parts: float) -> Any:
        bound = model.bind_tools([tool], **parts)
        return asyncio.run(bound.ainvoke("Why?")) if is_async else bound.invoke("Why?")

    return call


TOLD_WITH_THE_SCHEMA: dict[str, Callable[..., Any]] = {
    **{f"structured by {method}": structured(method, False) for method in METHODS},
    **{f"structured by {method}, async": structured(method, True) for method in METHODS},
    "tools": with_tools(False),
    "tools, async": with_tools(True),
}
NEVER_IN_PARTS: dict[str, Callable[[Any], Any]] = {
    **WHOLES,
    **TOLD_WITH_THE_SCHEMA,
    "generate": lambda model: model.generate([[HumanMessage("Why?")]]),
    "agenerate": lambda model: asyncio.run(model.agenerate([[HumanMessage("Why?")]])),
    "retry": lambda model: model.with_retry().invoke("Why?"),
    "fallback": lambda model: model.with_fallbacks([model]).invoke("Why?"),
    "chain": lambda model: (RunnableLambda(str) | model).invoke("Why?"),
}


@pytest.mark.parametrize(
    ("given", "call"),
    [
        *(("constructor", name) for name in NEVER_IN_PARTS),
        *(("bind", name) for name in (*WHOLES, "retry")),
    ],
)
@at_once
def test_bounds_for_parts_do_not_act_on_a_whole_answer(
    given: str, call: str, server: Scripted
) -> None:
    model = GIVEN[given](server.settings, **PARTS)
    assert NEVER_IN_PARTS[call](model)


@pytest.mark.parametrize("call", TOLD_WITH_THE_SCHEMA)
@at_once
def test_bounds_for_parts_with_a_schema_do_not_act_on_a_whole_answer(
    call: str, server: Scripted
) -> None:
    """LangChain hands further arguments of `bind_tools` and `with_structured_output` on, as it does those of `bind`."""
    assert TOLD_WITH_THE_SCHEMA[call](ChatVllm(**server.settings), **PARTS)


def inside(call: str) -> Callable[[Any], Any]:
    return lambda model: WHOLES[call](streaming(model))


IN_PARTS: dict[str, Callable[[Any], Any]] = {
    **STREAMS,
    **{name: inside(name) for name in WHOLES},
}


@pytest.mark.parametrize(
    ("given", "call"),
    [
        *(("constructor", name) for name in IN_PARTS),
        *(
            (given, name)
            for given in ("bind", "bound twice")
            for name in ("stream", "astream", "events")
        ),
        *(("copy", name) for name in ("chain", "achain", "invoke", "ainvoke")),
    ],
)
@pytest.mark.parametrize("part", BOTH)
@at_once
def test_bounds_for_parts_act_on_every_kind_of_stream(part: str, given: str, call: str) -> None:
    with Scripted(answer) as server:
        says = {"x-says": "1"} if part == "idle_timeout" else {}
        model = GIVEN[given]({**server.settings, "default_headers": says}, **{part: PART})
        with pytest.raises(StreamDeadlineExceeded) as caught:
            IN_PARTS[call](model)
        assert (caught.value.bound, caught.value.limit) == (part, PART)
        assert server.requests[-1].left.wait(5)


def test_one_call_can_set_streaming_and_the_bounds(server: Scripted) -> None:
    model = ChatVllm(**server.settings)
    with pytest.raises(StreamDeadlineExceeded) as caught:
        model.invoke("Why?", stream=True, first_chunk_timeout=PART)
    assert caught.value.bound == "first_chunk_timeout"


def test_bounds_for_parts_act_on_a_call_that_streams_inside_astream_events(
    server: Scripted,
) -> None:
    model = ChatVllm(**server.settings, first_chunk_timeout=PART)

    async def node(text: str) -> Any:
        return await model.ainvoke(text)

    async def watch() -> None:
        async for _ in RunnableLambda(node).astream_events("Why?", version="v2"):
            pass

    with pytest.raises(StreamDeadlineExceeded) as caught:
        asyncio.run(watch())
    assert caught.value.bound == "first_chunk_timeout"
