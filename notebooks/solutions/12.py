# %% [markdown]
# # 12 · Solutions

# %% exercise 1
import contextvars
from concurrent.futures import ThreadPoolExecutor


def run_sync(coroutine):
    context = contextvars.copy_context()  # the caller's; a new thread begins with an empty one
    with ThreadPoolExecutor(1) as thread:
        # No loop is running in a new thread. result() raises the error of the coroutine.
        return thread.submit(context.run, asyncio.run, coroutine).result()


# %% exercise 2
fires = {
    "a": "outer",  # both act at the same await, and the outer one is due after 0.1 s
    "b": "inner",  # the thread's loop has its own timer, which is due after 0.1 s
    "c": "inner",  # the outer timer fires first, but its task is below the inner run on the stack
}
