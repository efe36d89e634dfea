"""Which task pulls a model's chunks: many ways to call a model in LangChain, measured."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnableParallel

from stream_lab.experiment import verdict
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.trace import Ending, Recording, record

ONE = "one task"
FRESH = "a new task for each chunk"
FIRST_APART = "one task for the first chunk, another for the rest"
NONE = "no chunk was pulled"
LATE = 0.5  # seconds for which a machine may stand still without a deadline being missed for it
TRIES = 3

Shape = Callable[[], AsyncIterator[Any]]


def shapes(model: Any) -> dict[str, Shape]:
    """Return ways to stream from a model, by the code that a reader would write.

    Those of LangGraph are left out where it is not installed.
    """
    prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
    chain, question = prompt | model, {"question": "Tell me everything."}
    text = question["question"]
    branch = RunnableBranch((lambda _: False, model), model)
    found: dict[str, Shape] = {
        "model.astream": lambda: model.astream(text),
        "model.bind(…).astream": lambda: model.bind(stop=["\0"]).astream(text),
        "model.with_config(…).astream": lambda: model.with_config(tags=["a"]).astream(text),
        "model.with_retry().astream": lambda: model.with_retry(stop_after_attempt=1).astream(text),
        "model.astream_events": lambda: model.astream_events(text, version="v2"),
        "RunnableBranch(…, model).astream": lambda: branch.astream(text),
        "model.with_fallbacks([…]).astream": lambda: model.with_fallbacks(
            [model], exceptions_to_handle=(KeyError,)
        ).astream(text),
        "(prompt | model).astream": lambda: chain.astream(question),
        "(model | parser).astream": lambda: (model | StrOutputParser()).astream(text),
        "(prompt | model | parser).astream": lambda: (chain | StrOutputParser()).astream(question),
        "(prompt | model).astream_events": lambda: chain.astream_events(question, version="v2"),
        "RunnableParallel(a=model).astream": lambda: RunnableParallel(a=model).astream(text),
        "RunnableLambda(lambda _: model).astream": lambda: RunnableLambda(lambda _: model).astream(
            text
        ),
    }
    return {**found, **_graphs(chain, question)}


async def measure(model: Any, *, give_up_after: float) -> "Shapes":
    """Call a model in every shape at once, each with a recording of its own.

    Args:
        model: a model whose class went through `traced`, of a server that never stops.
        give_up_after: seconds after which each consumer leaves; several times the deadline, since
            all calls start at once.

    Returns:
        What the calls did; if this machine was too busy to tell, what they did in another try.
    """
    for _ in range(TRIES):
        made = shapes(model)
        recordings = await asyncio.gather(
            *(record(make(), give_up_after=give_up_after) for make in made.values())
        )
        measured = Shapes(dict(zip(made, recordings, strict=True)))
        if not isinstance(measured.exceptions, Unknown):
            break
    return measured


def pulled_by(recording: Recording) -> str:
    """Return in words which tasks pulled the chunks of a call."""
    tasks = [pull.task for pull in recording.pulls if pull.got is not None]
    if not tasks:
        return NONE
    if len(set(tasks)) == 1:
        return ONE
    if recording.one_task_per_chunk:
        return FRESH
    return FIRST_APART if len(set(tasks[1:])) == 1 else "several tasks"


class Shapes:
    """The shapes of calls, with the tasks that pulled and whether the deadline held."""

    def __init__(self, recordings: Mapping[str, Recording]) -> None:
        self._recordings = dict(recordings)

    def stopped(self, name: str) -> bool:
        """Return whether the stream of a shape ended before its consumer left.

        `astream_events` cancels its background task at the end, and loses a TimeoutError that is
        just being raised there. Its stream then ends without an error.
        """
        return self._recordings[name].ending is not Ending.GAVE_UP

    def pulled_by(self, name: str) -> str:
        """Return in words which tasks pulled the chunks of a shape."""
        return pulled_by(self._recordings[name])

    @property
    def exceptions(self) -> str:
        """The shapes stopped without one task, or not stopped with one, or "no call differs".

        Until its first chunk has come, any call is pulled by one task. So a call without a chunk
        tells nothing.
        """
        recordings = self._recordings.values()
        if any(each.stood_still > LATE for each in recordings):
            return verdict.STARVED
        if any(pulled_by(each) == NONE for each in recordings):
            return verdict.NO_CHUNK
        found = [
            name
            for name in self._recordings
            if self.stopped(name) is not (self.pulled_by(name) == ONE)
        ]
        return ", ".join(found) or "no call differs"

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {tasks}; {ended}" for name, tasks, ended in self._rows())

    def _repr_markdown_(self) -> str:
        # A `|` would end the table's cell; viewers differ on a backslash before it inside of code.
        rows = [
            f"| <code>{name.replace('|', '&#124;')}</code> | {tasks} | {ended} |"
            for name, tasks, ended in self._rows()
        ]
        return "\n".join(["| call | pulled by | the deadline |", "|---|---|---|", *rows])

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (name, self.pulled_by(name), "✔ holds" if self.stopped(name) else "✘ has no effect")
            for name in self._recordings
        ]


def _graphs(chain: Any, question: Mapping[str, str]) -> dict[str, Shape]:
    """Return a graph with a chain as its node, streamed in two ways."""
    try:
        from langgraph.graph import START, MessagesState, StateGraph
    except ImportError:
        return {}

    async def invokes(_: MessagesState) -> dict[str, Any]:
        return {"messages": [await chain.ainvoke(question)]}

    async def streams(_: MessagesState) -> dict[str, Any]:
        return {"messages": [chunk async for chunk in chain.astream(question)]}

    def graph(node: Any) -> Shape:
        graph = StateGraph(MessagesState)
        graph.add_node("node", node)
        graph.add_edge(START, "node")
        return lambda: graph.compile().astream({"messages": []}, stream_mode="messages")

    return {
        "LangGraph, a node with chain.ainvoke": graph(invokes),
        "LangGraph, a node with chain.astream": graph(streams),
    }
