"""LiteLLM's SDK on aiohttp, which no transport bounds: a stream of a chat."""

import litellm
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


async def prepare(cell: Cell) -> Ask:
    return lambda: litellm.acompletion(
        model=f"hosted_vllm/{MODEL}",
        api_base=cell.base_url,
        api_key=KEY,
        messages=MESSAGES,
        stream=True,
        timeout=cell.natural(),
    )


play(prepare)
