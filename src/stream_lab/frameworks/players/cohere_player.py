"""Cohere's SDK, synchronous: a stream of a chat."""

import httpx
from cohere import ClientV2
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    http = cell.bounded(httpx.Client(timeout=cell.natural()))
    client = ClientV2(KEY, base_url=cell.root, timeout=cell.natural(), httpx_client=http)
    return lambda: client.chat_stream(model=MODEL, messages=MESSAGES)


play(prepare)
