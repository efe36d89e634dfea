"""LangGraph: a graph with one node that asks a model, its messages streamed."""

from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from openai import DefaultAsyncHttpxClient
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


async def prepare(cell: Cell) -> Ask:
    model = ChatOpenAI(
        model=MODEL,
        base_url=cell.base_url,
        api_key=KEY,
        timeout=cell.natural(),
        http_async_client=cell.bounded(DefaultAsyncHttpxClient()),
    )

    async def answer(state: MessagesState) -> MessagesState:
        return {"messages": [await model.ainvoke(state["messages"])]}

    whole = cell.timeout if cell.setting == "node" else None
    plan = StateGraph(MessagesState).add_node("answer", answer, timeout=whole)
    graph = plan.add_edge(START, "answer").compile()
    graph.step_timeout = cell.natural("step")
    asked = {"messages": [("user", QUESTION)]}
    return lambda: graph.astream(asked, stream_mode="messages")


play(prepare)
