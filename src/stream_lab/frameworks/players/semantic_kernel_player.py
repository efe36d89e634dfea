"""semantic-kernel: a stream of a chat."""

from openai import AsyncOpenAI
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play
from semantic_kernel.connectors.ai.open_ai import (
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
)
from semantic_kernel.contents import ChatHistory


async def prepare(cell: Cell) -> Ask:
    client = AsyncOpenAI(base_url=cell.base_url, api_key=KEY, timeout=cell.natural())
    service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=cell.bounded(client))
    history = ChatHistory()
    history.add_user_message(QUESTION)
    settings = OpenAIChatPromptExecutionSettings()
    return lambda: service.get_streaming_chat_message_contents(history, settings)


play(prepare)
