"""httpx alone: the lines of a streamed response."""

from collections.abc import Iterator

import httpx
from protocol import MESSAGES, MODEL, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    http = cell.bounded(httpx.Client(timeout=cell.natural()))
    url, body = f"{cell.base_url}/chat/completions", {"model": MODEL, "stream": True}

    def ask() -> Iterator[str]:
        with http.stream("POST", url, json={**body, "messages": MESSAGES}) as response:
            yield from response.iter_lines()

    return ask


play(prepare)
