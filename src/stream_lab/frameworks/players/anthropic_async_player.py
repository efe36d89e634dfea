"""Anthropic's SDK, asynchronous: a stream of a message."""

from anthropic import AsyncAnthropic
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


async def prepare(cell: Cell) -> Ask:
    client = AsyncAnthropic(base_url=cell.root, api_key=KEY, timeout=cell.natural())
    messages = cell.bounded(client).messages
    return lambda: messages.create(model=MODEL, messages=MESSAGES, max_tokens=9, stream=True)


play(prepare)
