# %% [markdown]
# # Solutions of notebook 05

# %% exercise 1
# `got` decides: the pull may have begun before the deadline.
task_number = next(
    pull.task for pull in call.recording.pulls if pull.got is not None and pull.got > TIMEOUT
)


# %% exercise 2
async def fresh_tasks(generator):
    got = 0
    while got < 10:
        try:
            # Awaited at once: two tasks must not pull from a generator at the same time.
            await asyncio.create_task(anext(generator))
        except StopAsyncIteration:
            break
        got += 1
    return got


# %% exercise 3
async def per_pull(chunks, seconds):
    # The moment is a local variable of the generator, which stays while the tasks change.
    until = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            # Each scope remembers the task that pulls now, and is left before the `yield`.
            async with asyncio.timeout_at(until):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk
