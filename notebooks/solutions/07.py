# %% [markdown]
# # Solutions to 07 · Where it stops

# %% exercise 1
async def bounded_while_pulled(items, seconds):
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds  # a moment, so that all waits share it
    while True:
        if loop.time() >= until:  # for items that come without a wait
            raise TimeoutError("the deadline has passed")
        try:
            async with asyncio.timeout_at(until):  # for a wait that does not end
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item  # no scope is open here


# %% exercise 2
async def slips_through():
    # It computes and never waits, so the event loop has no turn in which the timer could fire.
    for number in range(1000):
        sum(range(200_000))
        yield number
