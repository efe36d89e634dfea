"""OpenAI's SDK with aiohttp below httpx: a stream of a chat."""

from openai import AsyncOpenAI, DefaultAioHttpClient
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


async def prepare(cell: Cell) -> Ask:
    http = cell.bounded(DefaultAioHttpClient())
    client = AsyncOpenAI(
        base_url=cell.base_url, api_key=KEY, timeout=cell.natural(), http_client=http
    )
    return lambda: client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


play(prepare)
