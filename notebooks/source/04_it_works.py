# %% [markdown]
# # 04 · It works: `model.astream`
#
# **After this notebook you will know**
# - what `asyncio.timeout` inside `_astream` does to a stream that never ends, and to the server behind it,
# - which way a cancellation takes through LangChain, the SDK and the HTTP client,
# - which task the scope remembers, and which task it needs.
#
# *About 34 minutes, 23 of them for the exercises. Needs: [03](03_inside_asyncio_timeout.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from stream_lab import Evidence, Lesson, bundled, observe, open_endpoint, scope, traced
from stream_lab.experiment import pictures, shortened
from stream_lab.experiment.story import PlainChatVllm

evidence, lesson = Evidence("04"), Lesson("04")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Attempt 1: a scope around the loop
#
# LangChain gets the answer of a chat model in chunks: small messages, each with a few characters of text. To get them it calls the
# model's method `_astream`, an async generator. A subclass can override that method, and then every caller of the model goes
# through the override.
#
# So this is a good place for a deadline. The `async with` opens a *scope*: a block of code with a time limit, as in notebook 03.


# %%
class ScopedChatVllm(PlainChatVllm):
    """Attempt 1: a scope of asyncio.timeout around the loop inside _astream."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async with asyncio.timeout(self.stream_timeout):
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk


# %% [markdown]
# ## A model that never stops
#
# The server is asked for an endless answer. Two tools watch the call and change nothing: `traced` notes which task asks for each
# chunk, and `scope.observed` logs what each `asyncio.timeout` does.

# %%
client_prediction = lesson.predict(
    "1",
    "The model never stops. What does the caller of `model.astream` get?",
    {
        "a `TimeoutError` at the deadline": "stopped at the deadline",
        "an error of the HTTP client, when the socket's read time-out fires": "stopped by the read time-out",
        "chunks, until the caller leaves": "ran past the deadline",
    },
)
client_prediction

# %%
server_prediction = lesson.predict(
    "2",
    "And the server? What does it do with this request after the deadline?",
    {
        "it has stopped generating": "stopped generating",
        "it goes on generating, since it does not know of our deadline": "still generating",
    },
)
server_prediction

# %%
model = traced(ScopedChatVllm)(**server.settings, timeout=TIMEOUT)

with scope.observed() as log:
    call = await observe(model.astream("Tell me everything."), deadline=TIMEOUT, server=server)

print("stream:", call.verdict)
print("server:", call.server)
print("tasks that pulled a chunk:", call.recording.pulling_tasks)

# %%
client_prediction.reveal(
    call.verdict,
    why="The task that opened the scope is the one that waits for the next chunk, so the "
    "cancellation arrives where it is needed.",
)

# %%
server_prediction.reveal(
    call.server,
    why="The cancellation closes the connection on its way out, and vLLM drops a request whose "
    "client has gone.",
)

# %% [markdown]
# ## One task
#
# Each lane of the picture is a task, and each bar is a wait for a chunk. Here there is only one lane.

# %%
pictures.swim_lanes(
    call, log, title="model.astream: one task pulls every chunk, and the cancel lands"
)

# %%
pictures.server_load(
    {"model.astream": call},
    title="The connection closes at the deadline, and the server stops",
)

# %% [markdown]
# ## The way of the cancellation
#
# The scope cancels its task. That means: Python raises an exception at the `await` where the task is waiting, which is deep inside
# the HTTP client, where it reads from the socket.

# %%
bottom_prediction = lesson.predict(
    "3",
    "Which exception does the HTTP client see at that `await`?",
    {
        "`TimeoutError`": "TimeoutError",
        "`CancelledError`": "CancelledError",
        "`ReadTimeout`, its own error for a slow server": "ReadTimeout",
        "`GeneratorExit`, since its generator is closed": "GeneratorExit",
    },
)
bottom_prediction

# %% [markdown]
# Here is the whole traceback of such a call, with a shorter deadline and one line for each frame: the file and the function. It is
# about the client, so it plays on the bundled fake. Read
# the upper half from the bottom to the top, which is the way that the exception takes.

# %% tags=["nbval-ignore-output"]
with bundled("endless") as fake:
    hasty = ScopedChatVllm(**fake.settings, timeout=TIMEOUT / 4)
    try:
        async with asyncio.timeout(TIMEOUT):  # in case the deadline does not hold
            async for _ in hasty.astream("Tell me everything."):
                pass
    except TimeoutError as error:
        timed_out = error

print(shortened.traceback(timed_out))

# %%
bottom_prediction.reveal(
    type(timed_out.__cause__).__name__,
    why="A cancellation travels as CancelledError. Only the scope, in `__aexit__`, makes a "
    "TimeoutError of it.",
)

# %% [markdown]
# Each layer gets its turn to clean up: the HTTP client closes the connection, the SDK closes its stream, and the scope turns
# `CancelledError` into the `TimeoutError` that the caller sees. Two things follow.
#
# - Every layer has to let the cancellation through. A layer that catches it and goes on has undone the deadline; the appendix shows
#   one.
# - The cancellation has to start in the task that waits on the socket. In this notebook that is the only task there is.
#
# **What it costs.** Next to nothing: one timer for the whole call, and one more generator that each chunk passes through.
# `ChatOpenAI` itself takes about 120 µs of CPU time for a chunk ([figures](../docs/figures.md#what-the-deadline-costs),
# `python benchmarks/deadline_cost.py`).

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "A scope in `_astream` cuts `model.astream` on time",
    expected="stopped at the deadline",
    found=call.verdict,
)
evidence.claim(
    "The server stopped generating when it was cut",
    expected="stopped generating",
    found=call.server,
)
evidence.claim("One task pulled every chunk", expected=1, found=call.recording.pulling_tasks)
evidence.claim(
    "The timer cancelled a task that was still at work",
    expected="still at work",
    found=scope.target(log),
)
evidence.claim(
    "The TimeoutError was made from a CancelledError",
    expected="CancelledError",
    found=type(timed_out.__cause__).__name__,
)
evidence.number("stopped_after_s", call.recording.ended)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** The log has the steps of the scope, each with the scope's state after it. In which state did the timer leave the scope? Use
# `log.events`, or `log.find(…)`, and answer with the word.

# %% tags=["exercise"]
state_after_the_timer = ...

# %%
await lesson.check("1", state_after_the_timer, log)

# %% [markdown]
# **2.** How does `traced` know the task? Write it yourself: `count_tasks(chunks, seen)` is an async generator that passes on every
# chunk of `chunks`, and adds the task that asked for it to the set `seen`. The next notebook depends on what it shows.


# %% tags=["exercise"]
async def count_tasks(chunks, seen):
    raise NotImplementedError  # your code: pass on each chunk, and note who asked for it


# %%
await lesson.check("2", count_tasks)

# %% [markdown]
# **3.** `ainvoke` asks for the answer in one piece. It does not go through `_astream` but through `_agenerate`, a coroutine that
# returns one result, so attempt 1 does not bound it. Write the override that does. The limit is `self.stream_timeout`, as above.


# %% tags=["exercise"]
class BoundedAinvoke(ScopedChatVllm):
    async def _agenerate(self, *args: Any, **kwargs: Any):
        raise NotImplementedError  # your code: the parent's result, or TimeoutError


# %%
await lesson.check("3", BoundedAinvoke)

# %% [markdown]
# ## One step further: a cancellation that gets lost on Python 3.11
#
# A cancellation is delivered once. Python 3.11 has a function that can drop it: `asyncio.wait_for` loses a cancellation that arrives
# in the same turn of the event loop as the result it waits for
# ([python/cpython#86296](https://github.com/python/cpython/issues/86296); rewritten for 3.12). This cell arranges that turn.

# %% tags=["nbval-ignore-output"]
import sys

loop = asyncio.get_running_loop()
chunk = loop.create_future()
waiting = asyncio.create_task(asyncio.wait_for(chunk, timeout=10))
await asyncio.sleep(0)  # the task waits now
chunk.set_result("a chunk")
await asyncio.sleep(0)  # the chunk is there, and the task has not run yet
waiting.cancel()
try:
    lost = f"lost: wait_for returned {await waiting!r}"
except asyncio.CancelledError:
    lost = "delivered"
print(f"Python {sys.version_info.major}.{sys.version_info.minor}: {lost}")

# %% [markdown]
# Newer versions of LangChain wait for each chunk in this way, to bound the pause between two chunks (`stream_chunk_timeout`, 120 s
# unless set). With that option on Python 3.11, and a server that makes a token every 5 ms, 15 of 40 scopes around `model.astream`
# were lost; without it, or on Python 3.12 and 3.13, none
# ([figures](../docs/figures.md#cancellations-that-get-lost), `python benchmarks/lost_cancellations.py 40`). It also costs about 30 µs
# for each chunk. The incident's version had no such option, and the models of this course switch it off.

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [03 · Inside `asyncio.timeout`](03_inside_asyncio_timeout.ipynb) · Next:
# [05 · It fails in silence](05_it_fails_in_silence.ipynb)
