# %% [markdown]
# # 09 · Solutions

# %% exercise 1
import asyncio


async def answer(request, work):
    task = asyncio.create_task(work())
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=0.1)  # at most this long until it is noticed
            if await request.is_disconnected():
                return None
        return await task
    finally:
        task.cancel()  # does nothing if the task is done


# %% exercise 2
def repair(app):
    from stream_deadline.asgi import DeadlineMiddleware

    # The middleware that was added last is the outermost one, so it hears first.
    app.add_middleware(DeadlineMiddleware, default_timeout=0.5)
