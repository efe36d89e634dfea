"""pydantic-ai: the text of an agent's run, as it comes."""

from collections.abc import AsyncIterator

from openai import AsyncOpenAI
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


async def prepare(cell: Cell) -> Ask:
    client = AsyncOpenAI(base_url=cell.base_url, api_key=KEY, timeout=cell.natural())
    provider = OpenAIProvider(openai_client=cell.bounded(client))
    settings = {"request_timeout": cell.timeout} if cell.setting == "request" else None
    agent = Agent(OpenAIChatModel(MODEL, provider=provider), model_settings=settings)
    whole = cell.timeout if cell.setting == "run" else None

    async def ask() -> AsyncIterator[str]:
        async with agent.run_stream(QUESTION, timeout=whole) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                yield text  # noqa: ASYNC119 - as its documentation has it

    return ask


play(prepare)
