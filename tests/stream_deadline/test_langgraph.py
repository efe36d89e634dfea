"""LangGraph: deadlines of nodes and graphs, streams of all modes, agents with tools."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from fake_vllm.testing import FakeVllm
from stream_deadline import ChatVllm, StreamDeadlineExceeded, bounded_model, deadline

LIMIT = 1.0
LATEST = 6.0
MODES = ["values", "updates", "messages", "custom", "debug"]


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


QUESTION: Any = {"messages": [HumanMessage("Why?")]}


def chat(server: FakeVllm, name: str, scenario: str = "endless", **bounds: Any) -> ChatVllm:
    return ChatVllm(
        model=server.model,
        base_url=server.base_url,
        default_headers={"x-fake-scenario": scenario, "x-request-id": name},
        **bounds,
    )


def graph_of(*nodes: Callable[..., Any]) -> Any:
    graph = StateGraph(State)
    for node in nodes:
        graph.add_node(node.__name__, node)
    names = [START, *(node.__name__ for node in nodes), END]
    for one, next_one in itertools.pairwise(names):
        graph.add_edge(one, next_one)
    return graph.compile()


def judge(server: FakeVllm, name: str, started: float, limit: float = LIMIT) -> None:
    assert limit - 0.05 <= time.monotonic() - started < limit + LATEST
    entry = server.wait_for(
        lambda entry: name in entry.id and (entry.slot_freed or entry.over) is not None, LATEST
    )
    assert (entry.slot_freed or entry.over or 0) - started < limit + LATEST
    assert len([each for each in server.requests if name in each.id]) == 1


class TestNode:
    """`@deadline` gives each call of a node its seconds."""

    def test_a_synchronous_node_ends_at_its_deadline(self, server: FakeVllm) -> None:
        name = uuid.uuid4().hex

        @deadline(LIMIT)
        def answer(state: State) -> Any:
            return {"messages": [chat(server, name).invoke(state["messages"])]}

        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded) as caught:
            graph_of(answer).invoke(QUESTION)
        assert (caught.value.bound, caught.value.limit) == ("deadline", LIMIT)
        judge(server, name, started)

    def test_an_asynchronous_node_ends_at_its_deadline(self, server: FakeVllm) -> None:
        name = uuid.uuid4().hex

        @deadline(LIMIT)
        async def answer(state: State) -> Any:
            return {"messages": [await chat(server, name).ainvoke(state["messages"])]}

        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            asyncio.run(graph_of(answer).ainvoke(QUESTION))
        judge(server, name, started)

    def test_the_time_of_one_node_is_not_taken_from_the_next(self, server: FakeVllm) -> None:
        @deadline(30)
        def slow(state: State) -> Any:
            time.sleep(0.5)
            return {}

        @deadline(LIMIT)
        def answer(state: State) -> Any:
            model = chat(server, uuid.uuid4().hex, "finite:tokens=20")
            return {"messages": [model.invoke(state["messages"])]}

        assert graph_of(slow, answer).invoke(QUESTION)["messages"][-1].content


class TestBudgetOfAGraph:
    """`with deadline` around a graph bounds all of its nodes together."""

    @pytest.mark.parametrize("mode", MODES)
    def test_a_synchronous_stream_ends_in_every_mode(self, mode: str, server: FakeVllm) -> None:
        name = uuid.uuid4().hex

        def answer(state: State) -> Any:
            return {"messages": [chat(server, name).invoke(state["messages"])]}

        started = time.monotonic()
        with deadline(LIMIT), pytest.raises(StreamDeadlineExceeded):
            for _ in graph_of(answer).stream(QUESTION, stream_mode=mode):
                pass
        judge(server, name, started)

    @pytest.mark.parametrize("mode", MODES)
    def test_an_asynchronous_stream_ends_in_every_mode(self, mode: str, server: FakeVllm) -> None:
        name = uuid.uuid4().hex

        async def answer(state: State) -> Any:
            return {"messages": [await chat(server, name).ainvoke(state["messages"])]}

        async def play() -> None:
            with deadline(LIMIT):
                async for _ in graph_of(answer).astream(QUESTION, stream_mode=mode):
                    pass

        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            asyncio.run(play())
        judge(server, name, started)

    def test_the_tokens_of_a_stream_come_until_the_deadline(self, server: FakeVllm) -> None:
        name, seen = uuid.uuid4().hex, []

        async def answer(state: State) -> Any:
            return {"messages": [await chat(server, name).ainvoke(state["messages"])]}

        async def play() -> None:
            with deadline(LIMIT):
                async for chunk, _ in graph_of(answer).astream(QUESTION, stream_mode="messages"):
                    seen.append(chunk)

        with pytest.raises(StreamDeadlineExceeded):
            asyncio.run(play())
        assert len(seen) > 5

    def test_events_end_too(self, server: FakeVllm) -> None:
        name = uuid.uuid4().hex

        async def answer(state: State) -> Any:
            return {"messages": [await chat(server, name).ainvoke(state["messages"])]}

        async def play() -> None:
            with deadline(LIMIT):
                async for _ in graph_of(answer).astream_events(QUESTION, version="v2"):
                    pass

        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            asyncio.run(play())
        judge(server, name, started)

    def test_a_model_of_another_class_is_bounded_with_bounded_model(self, server: FakeVllm) -> None:
        name = uuid.uuid4().hex
        model = bounded_model(
            ChatOpenAI(
                model=server.model,
                base_url=server.base_url,
                api_key="none",
                default_headers={"x-request-id": name},
            )
        )

        def answer(state: State) -> Any:
            return {"messages": [model.invoke(state["messages"])]}

        started = time.monotonic()
        with deadline(LIMIT), pytest.raises(StreamDeadlineExceeded):
            graph_of(answer).invoke(QUESTION)
        judge(server, name, started)


class CallsATool(ChatVllm):
    """The fake calls a tool only if it must."""

    def bind_tools(self, tools: Any, **settings: Any) -> Any:
        return super().bind_tools(tools, **{**settings, "tool_choice": "look_up"})


class TestAgents:
    """An agent's budget covers its model and its tools."""

    @staticmethod
    def agent(server: FakeVllm, name: str, look_up: Any) -> Any:
        model = CallsATool(
            model=server.model,
            base_url=server.base_url,
            timeout=60,
            default_headers={"x-fake-scenario": "finite", "x-request-id": name},
        )
        return create_agent(model, tools=[look_up])

    def test_a_tool_that_waits_is_cancelled_at_the_deadline(self, server: FakeVllm) -> None:
        @tool
        async def look_up(query: str = "") -> str:
            """Look something up, and take a minute over it."""
            await asyncio.sleep(60)
            return "found"

        async def play() -> None:
            async with deadline(LIMIT, cancel=True):
                await self.agent(server, uuid.uuid4().hex, look_up).ainvoke(QUESTION)

        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded) as caught:
            asyncio.run(play())
        assert caught.value.bound == "deadline"
        assert LIMIT - 0.05 <= time.monotonic() - started < LIMIT + LATEST

    def test_after_a_tool_that_ignores_the_budget_the_error_comes_at_once(
        self, server: FakeVllm
    ) -> None:
        """A tool that blocks its thread cannot be ended, but no further call is made."""
        name = uuid.uuid4().hex

        @tool
        def look_up(query: str = "") -> str:
            """Look something up, and take its time."""
            time.sleep(LIMIT + 0.5)
            return "found"

        started = time.monotonic()
        with deadline(LIMIT), pytest.raises(StreamDeadlineExceeded) as caught:
            self.agent(server, name, look_up).invoke(QUESTION)
        assert LIMIT + 0.5 <= time.monotonic() - started < LIMIT + 0.5 + LATEST
        assert caught.value.elapsed < 0.5  # of the call that found the budget used up
        assert f"with deadline({LIMIT:g})" in str(caught.value)
        assert len([each for each in server.requests if name in each.id]) == 1
