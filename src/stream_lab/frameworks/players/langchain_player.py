"""LangChain's `ChatOpenAI`: `astream`."""

from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


async def prepare(cell: Cell) -> Ask:
    settings = {"stream_chunk_timeout": cell.timeout} if cell.setting == "chunk" else {}
    model = ChatOpenAI(
        model=MODEL,
        base_url=cell.base_url,
        api_key=KEY,
        timeout=cell.natural(),
        http_async_client=cell.bounded(DefaultAsyncHttpxClient()),
        **settings,
    )
    return lambda: model.astream(QUESTION)


play(prepare)
