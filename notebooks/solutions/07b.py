# %% [markdown]
# # Solutions to 07b · The whole deadline

# %% exercise 1
async def bounded_by_a_reader(chunks, seconds):
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    queue = asyncio.Queue()
    end = object()

    async def read():
        try:
            async for chunk in chunks:
                queue.put_nowait(chunk)
        finally:
            queue.put_nowait(end)  # also after an error or the cancellation
            await chunks.aclose()

    reader = asyncio.create_task(read())
    timer = loop.call_at(until, reader.cancel)  # acts whether an item is pulled or not
    try:
        while (chunk := await queue.get()) is not end and loop.time() < until:
            yield chunk
        if loop.time() >= until:
            raise TimeoutError("the deadline has passed")
        await reader  # it has ended; an error of the source is raised here
    finally:
        timer.cancel()
        reader.cancel()


# %% exercise 2
def ask_twice(model, first, second, seconds):
    with deadline(seconds):  # the second call has what the first leaves
        return [model.invoke(first), model.invoke(second)]


# %% exercise 3
answer = {
    "a": "first_chunk_timeout",  # no chunk for 40 s
    "b": "idle_timeout",  # comments say nothing
    "c": "timeout",  # never silent, and never done
    "d": "none",  # a thought says something, and 50 s is less than 60
}
