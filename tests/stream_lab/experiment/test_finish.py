"""How a streamed answer ended, without a server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from langchain_core.messages import AIMessageChunk

from stream_lab.experiment import verdict
from stream_lab.experiment.finish import NO_REASON, how_it_ended


async def answer(reason: str | None, seconds: float = 0.0) -> AsyncIterator[AIMessageChunk]:
    yield AIMessageChunk(content="Hello.")
    await asyncio.sleep(seconds)
    yield AIMessageChunk(content="", response_metadata={"finish_reason": reason} if reason else {})


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (answer("length"), "finish_reason=length"),
        (answer(None), NO_REASON),
        (answer("stop", 0.8), verdict.RAN_ON),
        (answer("stop", 9), verdict.SILENT),
    ],
)
def test_a_stream_ends_with_the_servers_reason_or_with_a_verdict(
    stream: AsyncIterator[AIMessageChunk], words: str
) -> None:
    assert asyncio.run(how_it_ended(stream, deadline=0.2)) == words
