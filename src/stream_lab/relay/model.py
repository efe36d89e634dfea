"""The model over HTTP, without LangChain, whose import takes each worker of a server seconds.

BASE_URL, MODEL and the key come from the environment, as for a service.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from stream_lab.experiment.endpoint import NO_KEY, key_of
from stream_lab.http.client import direct_async_client, direct_client

PATIENCE = 60.0  # seconds of silence after which a request fails


async def ask(tokens: int) -> AsyncIterator[str]:
    """Yield the pieces of an answer of `tokens` tokens, as they arrive."""
    async with (
        direct_async_client(timeout=PATIENCE) as client,
        client.stream(**_request(tokens)) as answer,
    ):
        async for line in answer.aiter_lines():
            if text := _text(line):
                yield text  # noqa: ASYNC119 - a consumer that leaves is cancelled, here or in its reader


def ask_blocking(tokens: int) -> Iterator[str]:
    """Yield the same, but block the thread, or the event loop that runs in it."""
    with direct_client(timeout=PATIENCE) as client, client.stream(**_request(tokens)) as answer:
        for line in answer.iter_lines():
            if text := _text(line):
                yield text


def _request(tokens: int) -> dict[str, Any]:
    return {
        "method": "POST",
        "url": f"{os.environ['BASE_URL']}/chat/completions",
        "headers": {"authorization": f"Bearer {key_of() or NO_KEY}"},
        "json": {
            "model": os.environ["MODEL"],
            "messages": [{"role": "user", "content": "Why?"}],
            "stream": True,
            "max_tokens": tokens,
            "ignore_eos": True,
        },
    }


def _text(line: str) -> str:
    """Return the text in a line of the stream. Empty: there is none."""
    if not line.startswith("data: {"):
        return ""
    choices = json.loads(line[6:])["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""
