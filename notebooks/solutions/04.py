# %% [markdown]
# # Solutions of notebook 04

# %% exercise 1
# "expiring": the timer has asked for the cancellation, and the scope waits for it to arrive.
state_after_the_timer = log.find("timer fired").state


# %% exercise 2
async def count_tasks(chunks, seen):
    async for chunk in chunks:
        # An async generator runs in the task that asks for its next item. After the `yield` that
        # would be the next task.
        seen.add(asyncio.current_task())
        yield chunk


# %% exercise 3
class BoundedAinvoke(ScopedChatVllm):
    async def _agenerate(self, *args: Any, **kwargs: Any):
        # A coroutine has no `yield`, so one task runs the whole block: here a scope is right.
        async with asyncio.timeout(self.stream_timeout):
            return await super()._agenerate(*args, **kwargs)
