# %% [markdown]
# # Solutions to 03 · Inside `asyncio.timeout`

# %% exercise 1
finished = asyncio.create_task(asyncio.sleep(0))
await finished
waiting = asyncio.create_task(asyncio.sleep(5))
await asyncio.sleep(0)
# (False, True): with a task that has ended, the request has no effect.
returned = (finished.cancel(), waiting.cancel())


# %% exercise 2
async def bounded(cm, work):
    # It does not matter which task made the scope. The one that enters it is the one it cancels.
    async with cm:
        return await work()


# %% exercise 3
class MiniTimeout:
    def __init__(self, delay):
        self.delay = delay
        self.fired = False

    async def __aenter__(self):
        self.task = asyncio.current_task()
        self.pending = self.task.cancelling()
        self.timer = asyncio.get_running_loop().call_later(self.delay, self.fire)
        return self

    def fire(self):
        self.fired = True
        self.task.cancel()

    async def __aexit__(self, kind, error, trace):
        self.timer.cancel()
        # uncancel() returns the new count: more than at the entry means that other code cancelled.
        if self.fired and self.task.uncancel() <= self.pending and kind is asyncio.CancelledError:
            raise TimeoutError from error
