# %% [markdown]
# # 04 · It works: `model.astream`
#
# **After this notebook you will know**
# - that `asyncio.timeout` inside `_astream` ends an endless stream on time, and frees the server,
# - why: one task pulls every chunk, and it is the one the scope remembers,
# - one way to lose even that, on Python 3.11.
#
# *About 8 minutes. Needs: [03](03_inside_asyncio_timeout.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from stream_lab import Evidence, observe, open_endpoint, scope, traced
from stream_lab.experiment import pictures
from stream_lab.experiment.story import PlainChatVllm

evidence = Evidence("04")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Attempt 1: a scope around the loop
#
# LangChain asks a chat model for its chunks through `_astream`. Whoever overrides it stands between the server and everybody who
# uses the model. So the scope goes there, once, and no caller has to know.


# %%
class ScopedChatVllm(PlainChatVllm):
    """Attempt 1: a scope of asyncio.timeout around the loop inside _astream."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async with asyncio.timeout(self.stream_timeout):
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk


# %% [markdown]
# **Predict first.** The model never stops. Does this end it? And does the GPU server hear of it?
#
# Two helpers watch without changing anything: `traced` notes which task asks for each chunk, `scope.observed` logs what every
# `asyncio.timeout` does meanwhile.

# %%
model = traced(ScopedChatVllm)(**server.settings, timeout=TIMEOUT)

with scope.observed() as log:
    call = await observe(model.astream("Tell me everything."), deadline=TIMEOUT, server=server)

print("stream:", call.verdict)
print("server:", call.server)
print("tasks that pulled a chunk:", call.recording.pulling_tasks)

# %%
pictures.swim_lanes(
    call, log, title="model.astream: one task pulls every chunk, and the cancel lands"
)

# %% [markdown]
# One lane. The task that opened the scope also waits for the chunk that is due when the timer fires, so the cancellation arrives
# where it should. It travels down through LangChain, the SDK and the HTTP client, closes the connection on its way, and comes out
# as a `TimeoutError`.

# %%
pictures.server_load(
    {"model.astream": call},
    title="The connection closes at the deadline, and the server stops",
)

# %% [markdown]
# ## A cancellation that gets lost
#
# A cancellation is delivered once. Whoever catches it on the way and does not pass it on has undone the time-out. Python 3.11 has
# such a place in its own library: `asyncio.wait_for` drops a cancellation that arrives in the same turn of the event loop as the
# result it waits for ([python/cpython#86296](https://github.com/python/cpython/issues/86296); rewritten for 3.12).
#
# Here is that turn, arranged on purpose: the chunk is there, and before the waiting task can run again, somebody cancels it.

# %% tags=["nbval-ignore-output"]
import sys

loop = asyncio.get_running_loop()
chunk = loop.create_future()
waiting = asyncio.create_task(asyncio.wait_for(chunk, timeout=10))
await asyncio.sleep(0)  # it waits now
chunk.set_result("a chunk")
await asyncio.sleep(0)  # the chunk is there, the task has not run yet
waiting.cancel()
try:
    lost = f"lost: wait_for returned {await waiting!r}"
except asyncio.CancelledError:
    lost = "delivered"
print(f"Python {sys.version_info.major}.{sys.version_info.minor}: {lost}")

# %% [markdown]
# This is no curiosity. Newer versions of LangChain wait for each chunk in just this way, to bound the pause between two chunks
# (`stream_chunk_timeout`, 120 s unless set). On Python 3.11, with a server that makes a token every 5 ms, 15 of 40 scopes around a
# plain `model.astream` were lost like this; without `stream_chunk_timeout`, or on Python 3.12 and 3.13, none of 40
# (`benchmarks/lost_cancellations.py`). The incident's version had no such option, and the story's models switch it off.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "asyncio.timeout in _astream cuts model.astream on time",
    expected="stopped at the deadline",
    found=call.verdict,
)
evidence.claim(
    "the server stopped generating when it was cut",
    expected="stopped generating",
    found=call.server,
)
evidence.claim("one task pulled every chunk", expected=1, found=call.recording.pulling_tasks)
evidence.claim(
    "the task that the timer cancelled was", expected="still at work", found=scope.target(log)
)
evidence.number("stopped_after_s", call.recording.ended)
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# What does the scope remember its task *for*? Find the log's event for the timer: in which state did it leave the scope? Put the
# word in place of the dots. (`log.events`, or `log.find(…)`.)

# %%
from stream_lab.experiment.exercise import check

state_after_the_timer = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
check(
    state_after_the_timer,
    fired.state if (fired := log.find("timer fired")) else "the timer never fired",
    hint="log.find('timer fired').state",
)

# %% [markdown]
# ---
# Before: [03 · Inside `asyncio.timeout`](03_inside_asyncio_timeout.ipynb) · Next:
# [05 · It fails in silence](05_it_fails_in_silence.ipynb)
