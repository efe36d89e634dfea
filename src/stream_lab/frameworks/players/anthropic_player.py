"""Anthropic's SDK, synchronous: a stream of a message."""

from anthropic import Anthropic
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    client = Anthropic(base_url=cell.root, api_key=KEY, timeout=cell.natural())
    messages = cell.bounded(client).messages
    return lambda: messages.create(model=MODEL, messages=MESSAGES, max_tokens=9, stream=True)


play(prepare)
