"""The attempts of the incident, in order; a test keeps them equal to the notebooks'."""

import asyncio
import math
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


class PerPullChatVllm(PlainChatVllm):
    """Attempt 3: a scope around each wait for a chunk, which is left before the chunk is handed over."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        until = asyncio.get_running_loop().time() + (self.stream_timeout or math.inf)
        chunks = super()._astream(*args, **kwargs)
        while True:
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield chunk


class ClockedChatVllm(PlainChatVllm):
    """Attempt 4: the clock is asked before each wait for a chunk, and the wait has its scope."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        loop = asyncio.get_running_loop()
        until = loop.time() + (self.stream_timeout or math.inf)
        chunks = super()._astream(*args, **kwargs)
        while True:
            if loop.time() >= until:
                raise TimeoutError("the deadline has passed")
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield chunk


class ReaderChatVllm(PlainChatVllm):
    """Attempt 5: a task of its own reads, and a timer stops that task, whether it is pulled or not."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        loop = asyncio.get_running_loop()
        until = loop.time() + (self.stream_timeout or math.inf)
        chunks = super()._astream(*args, **kwargs)
        queue: asyncio.Queue[ChatGenerationChunk | None] = asyncio.Queue()

        async def read() -> None:
            try:
                async for chunk in chunks:
                    queue.put_nowait(chunk)
            finally:
                queue.put_nowait(None)

        reader = loop.create_task(read())
        timer = loop.call_at(until, reader.cancel)
        try:
            while (chunk := await queue.get()) is not None and loop.time() < until:
                yield chunk
            if loop.time() >= until:
                raise TimeoutError("the deadline has passed")
            await reader  # it has ended; if with an error, here it is
        finally:
            timer.cancel()
            reader.cancel()
