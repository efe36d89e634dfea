"""The columns: ways to call a model, each a function that returns the model's message."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

QUESTION = "Why is the sky blue?"
PAUSE = 0.015  # seconds that a slow consumer takes for each chunk, longer than the server


@dataclass(frozen=True)
class Call:
    """One way to call a model.

    Attributes:
        name: the name of the column.
        run: the call itself: a coroutine function, or a plain function for synchronous calls.
        streamed: whether the request is for a stream.
        generations: how many generations the call starts when nothing goes wrong.
        tells: whether its result is a message with usage, which can be compared.
    """

    name: str
    run: Callable[[Any], Any]
    streamed: bool
    generations: int = 1
    tells: bool = True

    @property
    def is_async(self) -> bool:
        return asyncio.iscoroutinefunction(self.run)


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    degrees: int


class State(TypedDict):
    messages: Annotated[list[BaseMessage], lambda old, new: [*old, *new]]


async def _sum(stream: AsyncIterator[Any]) -> Any:
    whole: Any = None
    async for part in stream:
        whole = part if whole is None else whole + part
    return whole


def _sum_sync(stream: Iterable[Any]) -> Any:
    whole: Any = None
    for part in stream:
        whole = part if whole is None else whole + part
    return whole


def chain(model: Any, parts: int) -> Runnable[Any, Any]:
    """Wrap the model as the second part of a chain whose parts all stream."""
    whole: Runnable[Any, Any] = RunnablePassthrough() | model
    for _ in range(parts - 2):
        whole = whole | _pass_on
    return whole


@RunnableLambda
def _nothing(value: Any) -> Any:
    return value


async def _pass_on_async(parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for part in parts:
        yield part


def _pass_on_sync(parts: Iterator[Any]) -> Iterator[Any]:
    yield from parts


_pass_on: Runnable[Any, Any] = RunnableGenerator(_pass_on_sync, _pass_on_async)


async def astream(model: Any) -> Any:
    return await _sum(model.astream(QUESTION))


async def chain_astream(model: Any) -> Any:
    return await _sum(chain(model, 2).astream(QUESTION))


async def chain_of_5_astream(model: Any) -> Any:
    return await _sum(chain(model, 5).astream(QUESTION))


async def slow_consumer(model: Any) -> Any:
    whole: Any = None
    async for part in chain(model, 2).astream(QUESTION):
        whole = part if whole is None else whole + part
        await asyncio.sleep(PAUSE)
    return whole


async def task_per_item(model: Any) -> Any:
    stream = aiter(model.astream(QUESTION))
    whole: Any = None
    while (part := await asyncio.create_task(anext(stream, None))) is not None:
        whole = part if whole is None else whole + part
    return whole


async def after_lambda(model: Any) -> Any:
    return await _sum((_nothing | model).astream(QUESTION))


async def in_parallel(model: Any) -> Any:
    whole = await _sum(
        RunnableParallel(answer=model, question=RunnablePassthrough()).astream(QUESTION)
    )
    return whole["answer"]


async def with_fallbacks(model: Any) -> Any:
    # The fallback is for another kind of error, since a second request is no answer to a time-out.
    return await _sum(
        model.with_fallbacks([model], exceptions_to_handle=(LookupError,)).astream(QUESTION)
    )


async def astream_events(model: Any) -> Any:
    whole: Any = None
    async for event in chain(model, 2).astream_events(QUESTION, version="v2"):
        if event["event"] == "on_chat_model_stream":
            part = event["data"]["chunk"]
            whole = part if whole is None else whole + part
    return whole


async def astream_log(model: Any) -> Any:
    final: Any = None
    async for patch in chain(model, 2).astream_log(QUESTION, diff=False):
        final = patch.state
    return final["final_output"]


async def ainvoke(model: Any) -> Any:
    return await model.ainvoke(QUESTION)


async def ainvoke_streaming(model: Any) -> Any:
    return await model.model_copy(update={"streaming": True}).ainvoke(QUESTION)


async def abatch(model: Any) -> Any:
    return (await model.abatch([QUESTION, QUESTION]))[0]


async def structured(model: Any) -> Any:
    return await model.with_structured_output(Weather, method="json_schema").ainvoke(QUESTION)


async def bound_tools(model: Any) -> Any:
    return await _sum(model.bind_tools([Weather]).astream(QUESTION))


async def graph_node(model: Any) -> Any:
    async def ask(state: State) -> State:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    whole: Any = None
    state = State(messages=[HumanMessage(QUESTION)])
    async for part, _ in graph.compile().astream(state, stream_mode="messages"):
        whole = part if whole is None else whole + part
    return whole


def stream(model: Any) -> Any:
    return _sum_sync(model.stream(QUESTION))


def chain_stream(model: Any) -> Any:
    return _sum_sync(chain(model, 2).stream(QUESTION))


def invoke(model: Any) -> Any:
    return model.invoke(QUESTION)


def batch(model: Any) -> Any:
    return model.batch([QUESTION, QUESTION])[0]


def worker_thread(model: Any) -> Any:
    got: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            got.append(stream(model))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return got[0]


def inside_a_running_loop(model: Any) -> Any:
    async def block() -> Any:
        return stream(model)

    return asyncio.run(block())


CALLS = [
    Call("astream", astream, True),
    Call("chain.astream", chain_astream, True),
    Call("chain of 5 .astream", chain_of_5_astream, True),
    Call("slow consumer", slow_consumer, True),
    Call("a task per item", task_per_item, True),
    Call("RunnableLambda | model", after_lambda, True),
    Call("RunnableParallel", in_parallel, True),
    Call("with_fallbacks", with_fallbacks, True),
    Call("astream_events v2", astream_events, True),
    Call("astream_log", astream_log, True),
    Call("ainvoke", ainvoke, False),
    Call("ainvoke, streaming=True", ainvoke_streaming, True),
    Call("abatch", abatch, False, generations=2),
    Call("structured output", structured, False, tells=False),
    Call("bound tools", bound_tools, True),
    Call("LangGraph node", graph_node, True),
    Call("stream", stream, True),
    Call("chain.stream", chain_stream, True),
    Call("invoke", invoke, False),
    Call("batch", batch, False, generations=2),
    Call("stream in a thread", worker_thread, True),
    Call("stream in a running loop", inside_a_running_loop, True),
]

# Enough for rows that are not about the calls: one for each way to use the client.
ONE_OF_A_KIND = frozenset(
    {
        *(
            "astream",
            "chain.astream",
            "astream_events v2",
            "ainvoke",
            "ainvoke, streaming=True",
            "LangGraph node",
        ),
        *("stream", "invoke", "batch"),
    }
)


def text_and_usage(message: Any) -> tuple[str, bool]:
    """Return the text and tool arguments of a message, and whether it has usage."""
    assert isinstance(message, AIMessage | AIMessageChunk), (
        f"a message was expected, not {type(message).__name__}"
    )
    arguments = [str(call["args"]) for call in message.tool_calls]
    return "".join([str(message.text), *arguments]), message.usage_metadata is not None
