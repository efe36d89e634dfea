# %% [markdown]
# # Solutions of notebook 30


# %% exercise 1
class Deadline:
    def __init__(self, seconds):
        self.seconds = seconds

    async def bounded(self, chunks):
        # A local variable: each call has its own, whichever tasks resume it.
        started = time.monotonic()
        try:
            async for chunk in chunks:
                if time.monotonic() - started > self.seconds:
                    raise TimeoutError(f"the stream took more than {self.seconds:g} s")
                yield chunk
        finally:
            # Also when the consumer leaves, or an error comes.
            await chunks.aclose()


# %% exercise 2
import asyncio
from contextlib import suppress

import pytest
from langchain_core.prompts import ChatPromptTemplate


@pytest.mark.fake_vllm("endless")
async def test_the_gpu_is_free_after_the_deadline(model_class, fake_vllm):
    address = {"base_url": fake_vllm.base_url, "model": fake_vllm.model, "api_key": "-"}
    chain = ChatPromptTemplate.from_messages([("user", "{q}")]) | model_class(
        **address, timeout=0.5
    )

    async def read():
        with suppress(TimeoutError):
            async for _ in chain.astream({"q": "Why?"}):
                pass

    # A task of its own: the test goes on whether the stream ends or not.
    reading = asyncio.create_task(read())
    await asyncio.sleep(1.5)
    try:
        assert fake_vllm.requests[0].slot_freed is not None, "the fake still generates"
    finally:
        reading.cancel()
