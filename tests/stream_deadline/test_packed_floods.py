"""A few kilobytes that unpack to megabytes hold neither a call nor its event loop."""

import asyncio
import time
import zlib
from collections.abc import Callable
from typing import Any

import openai
import pytest

from stream_deadline import ChatVllm, StreamDeadlineExceeded, bounded_client
from tests.stream_deadline.scripted import Answer, Scripted

T = 0.5
LONG = 6.0
"""Seconds; without a look at the clock in the middle, each of these calls took longer."""
FLOODS = {
    "comments": b": x\n\n" * (4 << 20),
    "empty lines": b"\n" * (24 << 20),
    "lines of no event": b"a\n" * (8 << 20) + b"\n",
    "events without a chunk": b'data: {"choices": [{"delta": null}]}\n\n' * (1 << 17),
}


def packed(name: str) -> Answer:
    make = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = make.compress(FLOODS[name]) + make.flush(zlib.Z_SYNC_FLUSH)
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    return Answer([body], headers=headers, stalls=True)


def _stream(server: Scripted) -> None:
    for _ in ChatVllm(**{**server.settings, "timeout": T}, max_retries=0).stream("Why?"):
        pass


def _astream(server: Scripted) -> None:
    async def read() -> None:
        async for _ in ChatVllm(**{**server.settings, "timeout": T}, max_retries=0).astream("Why?"):
            pass

    asyncio.run(read())


def _with_a_schema(server: Scripted) -> None:
    model = ChatVllm(**{**server.settings, "timeout": T}, max_retries=0)
    for _ in model.stream("Why?", response_format={"type": "json_object"}):
        pass


def _of_objects(server: Scripted) -> None:
    settings = {**server.settings, "timeout": T}
    for _ in ChatVllm(**settings, max_retries=0, raw_chunks=False).stream("Why?"):
        pass


def _responses(server: Scripted) -> None:
    settings = {**server.settings, "timeout": T}
    for _ in ChatVllm(**settings, max_retries=0, use_responses_api=True).stream("Why?"):
        pass


def _request() -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Why?"}], "stream": True}


def _bare(server: Scripted) -> None:
    client = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)
    for _ in bounded_client(client, T).chat.completions.create(**_request()):
        pass


def _bare_async(server: Scripted) -> None:
    async def read() -> None:
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0)
        async for _ in await bounded_client(client, T).chat.completions.create(**_request()):
            pass

    asyncio.run(read())


@pytest.mark.parametrize("call", [_with_a_schema, _of_objects, _responses])
def test_a_packed_flood_ends_other_calls_of_the_model_too(call: Callable[[Scripted], None]) -> None:
    with Scripted(packed("comments")) as server:
        began = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            call(server)
        assert time.monotonic() - began < LONG


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("call", [_stream, _astream, _bare, _bare_async])
def test_a_packed_flood_ends_at_the_deadline(name: str, call: Callable[[Scripted], None]) -> None:
    with Scripted(packed(name)) as server:
        began = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            call(server)
        assert time.monotonic() - began < LONG
