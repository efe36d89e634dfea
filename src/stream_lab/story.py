"""The attempts of the incident, in order. Each stands in a notebook too, word for word; a test keeps the two equal."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI


class PlainChatVllm(ChatOpenAI):
    """Attempt 0: the time-out is given where the model is made, and handed on to the HTTP client."""

    stream_timeout: float | None = None
    stream_chunk_timeout: float | None = None  # newer than the incident: see notebook 04

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("stream_timeout", kwargs.get("timeout"))
        super().__init__(**kwargs)


class ScopedChatVllm(PlainChatVllm):
    """Attempt 1: a scope of asyncio.timeout around the loop inside _astream."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async with asyncio.timeout(self.stream_timeout):
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk


class ElapsedChatVllm(PlainChatVllm):
    """Attempt 2: the elapsed time on the monotonic clock, looked at whenever a chunk arrives."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        started = time.monotonic()
        async for chunk in super()._astream(*args, **kwargs):
            elapsed = time.monotonic() - started
            if self.stream_timeout is not None and elapsed > self.stream_timeout:
                raise TimeoutError(f"Stream timeout after {elapsed:.2f} seconds")
            yield chunk
