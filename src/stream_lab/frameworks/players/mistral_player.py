"""Mistral's SDK, synchronous: a stream of a chat."""

import httpx2
from mistralai.client import Mistral
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    http = cell.bounded(httpx2.Client(follow_redirects=True))
    milliseconds = int(cell.natural() * 1000)
    client = Mistral(api_key=KEY, server_url=cell.root, timeout_ms=milliseconds, client=http)
    return lambda: iter(client.chat.stream(model=MODEL, messages=MESSAGES))


play(prepare)
