# %% [markdown]
# # Solutions of notebook 06


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
# The socket's read time-out begins anew with the last byte.
end_of_the_call = recording.arrivals[-1] + limit

# %% exercise 3
import pytest
from langchain_core.prompts import ChatPromptTemplate


@pytest.mark.fake_vllm("endless")
async def test_the_deadline_holds(model_class, fake_vllm):
    model = model_class(
        base_url=fake_vllm.base_url, model=fake_vllm.model, api_key="-", timeout=0.5
    )
    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | model
    chunks = 0
    with pytest.raises(TimeoutError):
        async for _ in chain.astream({"question": "Why?"}):
            chunks += 1
            # A bound by count: a TimeoutError of the test's own would satisfy `raises`.
            assert chunks < 120, "the stream goes on after its deadline"
