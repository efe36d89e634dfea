# %% [markdown]
# # 05 · It fails in silence: the chain
#
# **After this notebook you will know**
# - that the class of notebook 04, unchanged, does nothing in `(prompt | model).astream`,
# - why: a chain pulls every chunk in a new task, and the scope remembers the first,
# - the one case in which it still fires, which makes it look well tested.
#
# *About 15 minutes. Needs: [03](03_inside_asyncio_timeout.ipynb), [04](04_it_works.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from stream_lab import (
    Evidence,
    bundled,
    observe,
    open_endpoint,
    record,
    scope,
    traced,
)
from stream_lab.experiment import pictures
from stream_lab.experiment.call import Call
from stream_lab.experiment.story import PlainChatVllm

evidence = Evidence("05")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## The same class
#
# Not a letter differs from notebook 04.


# %%
class ScopedChatVllm(PlainChatVllm):
    """Attempt 1: a scope of asyncio.timeout around the loop inside _astream."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async with asyncio.timeout(self.stream_timeout):
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk


# %% [markdown]
# ## In a chain
#
# **Predict first.** The only change is a prompt in front of the model, joined with `|`. Does the deadline hold?

# %%
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
model = traced(ScopedChatVllm)(**server.settings, timeout=TIMEOUT)
chain = prompt | model

with scope.observed() as log:
    call = await observe(
        chain.astream({"question": "Tell me everything."}), deadline=TIMEOUT, server=server
    )

print("stream:", call.verdict)
print("server:", call.server)
print("error: ", call.recording.error or "none")

# %% [markdown]
# No error, no warning. The scope was there, its timer was set, and the stream went on until *we* left.
#
# ## Who pulled which chunk

# %%
one_each = call.recording.one_task_per_chunk
print("one task for each chunk" if one_each else "fewer tasks than chunks")
pictures.swim_lanes(
    call,
    log,
    title="chain.astream: a new task for every chunk; the cancel hits one that has finished",
)

# %% [markdown]
# Each lane is a task. A chain does not read its model's stream in the task you called it from; it wraps every step to the next chunk
# in a task of its own, so that callbacks see the right context. Here is the place, from your own LangChain:

# %% tags=["nbval-ignore-output"]
import inspect

from langchain_core.runnables import utils

print(inspect.getsource(utils.coro_with_context))

# %% [markdown]
# The generator `_astream` is one and the same all the time. It is merely *resumed* by a different task for each chunk. Its
# `async with` was entered while task 1 was at work, so task 1 is what the scope remembers.
#
# ## What the timer did
#
# **Predict first.** Did the timer fire at all? If so: in which state was the task that it cancelled?

# %%
fired, left = log.find("timer fired"), log.find("left")

print("the timer fired:               ", fired is not None)
if fired:
    print("it cancelled task number:      ", fired.remembered)
    print("that task had already finished:", fired.remembered_done)
    print("the scope's state afterwards:  ", fired.state)
    print("and when the stream was closed:", left.state)

# %% [markdown]
# It fired on time, and cancelled task 1, which had ended with the first chunk. `cancel()` on a finished task returns `False` and does
# nothing, and nobody looks at the value. The scope went on to *expiring* and waited for a cancellation that nobody would ever feel;
# when we closed the stream it became *expired*. It knew, and had nobody to tell. This is the three-task cell of notebook 03, written
# by a library.

# %%
pictures.server_load({"chain.astream": call}, title="The deadline passes, and the server goes on")

# %% [markdown]
# ## The case that does fire
#
# Suppose that no chunk ever comes. Then there is only one task, the first, and it is still waiting when the timer fires. A real server
# does not do that on request, so this plays on the bundled fake, whichever server you named above.
#
# **Predict first.** Same class, same chain. Does the deadline hold?

# %%
with bundled("no_first_token") as fake:
    silent = traced(ScopedChatVllm)(**fake.settings, timeout=TIMEOUT, max_retries=0)
    # The socket's own read time-out would fire in the same moment; it is not the subject, so it gets out of the way.
    silent = silent.model_copy(update={"stream_timeout": TIMEOUT / 2})
    recording = await record(
        (prompt | silent).astream({"question": "Anything."}), give_up_after=2 * TIMEOUT
    )

first_chunk = Call(recording, TIMEOUT / 2)
print("stream:", first_chunk.verdict)
print("tasks: ", len({pull.task for pull in recording.pulls}))

# %% [markdown]
# It holds. Whoever tests the time-out with a server that hangs will see it work, in a chain too, and ship it. It takes a server that
# *talks* to see it fail.

# %% [markdown]
# ## What was shown

# %%
target = scope.target(log)
final_state = left.state if fired else target

evidence.claim(
    "the same class in a chain is never cut",
    expected="ran past the deadline",
    found=call.verdict,
)
evidence.claim(
    "a chain pulls each chunk in a task of its own",
    expected="one task for each chunk",
    found="one task for each chunk" if one_each else "fewer",
)
evidence.claim("the task that the timer cancelled was", expected="already finished", found=target)
evidence.claim("the scope itself ends in the state", expected="expired", found=final_state)
evidence.claim(
    "the server did not stop, since it was not cut",
    expected="still generating",
    found=call.server,
)
evidence.claim(
    "a stall before the first chunk is caught (on the fake)",
    expected="stopped at the deadline",
    found=first_chunk.verdict,
)
evidence.number("tokens_after_deadline", call.tokens_after_deadline)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** By which number of task was the chunk pulled that arrived first after the deadline? `call.recording.pulls` holds, for each
# chunk, `task`, `asked` and `got` (seconds since the call).

# %%
from stream_lab.experiment.exercise import check

task_number = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
expected = next(
    (pull.task for pull in call.recording.pulls if pull.got is not None and pull.got > TIMEOUT),
    0,
)
check(task_number, expected, hint="The first pull whose `got` is larger than TIMEOUT.")

# %% [markdown]
# **2.** No LangChain this time. Here is a generator with a scope inside. Write `fresh_tasks(generator)`, an async function that pulls
# from it as a chain does, each step in a new task, and returns how many items it got before giving up at ten. Replace the dots.


# %%
async def ticking():
    async with asyncio.timeout(0.05):
        while True:
            await asyncio.sleep(0.02)
            yield "tick"


async def fresh_tasks(generator): ...


# %% jupyter={"source_hidden": true} tags=["solution"]
async def solution(generator):
    items = [await asyncio.create_task(anext(generator)) for _ in range(10)]
    return len(items)


got = await fresh_tasks(ticking())
check(
    ... if got is None else got,
    await solution(ticking()),
    hint="await asyncio.create_task(anext(generator)), ten times.",
)

# %% [markdown]
# ---
# Before: [04 · It works](04_it_works.ipynb) · Next: [06 · The elapsed-time fix](06_the_elapsed_time_fix.ipynb)
