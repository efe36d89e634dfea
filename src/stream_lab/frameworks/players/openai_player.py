"""OpenAI's SDK, synchronous: a stream of a chat."""

from openai import OpenAI
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    client = OpenAI(base_url=cell.base_url, api_key=KEY, timeout=cell.natural())
    completions = cell.bounded(client).chat.completions
    return lambda: completions.create(model=MODEL, messages=MESSAGES, stream=True)


play(prepare)
