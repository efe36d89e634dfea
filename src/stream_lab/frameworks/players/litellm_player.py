"""LiteLLM's SDK: a stream of a chat, by way of OpenAI's SDK."""

import litellm
from openai import OpenAI
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    given = {"timeout": cell.timeout if cell.setting == "duration" else cell.natural()}
    if cell.setting in ("bounded_client", "deadline"):
        given["client"] = cell.bounded(OpenAI(base_url=cell.base_url, api_key=KEY))
    return lambda: litellm.completion(
        model=f"openai/{MODEL}",
        api_base=cell.base_url,
        api_key=KEY,
        messages=MESSAGES,
        stream=True,
        **given,
    )


play(prepare)
