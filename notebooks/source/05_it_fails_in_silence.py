# %% [markdown]
# # 05 · It fails in silence: the chain
#
# **After this notebook you will know**
# - what the class of notebook 04, unchanged, does in `(prompt | model).astream`,
# - which line of LangChain makes the difference, and which ways to call a model go through it,
# - which kind of test server would have shown it.
#
# *About 39 minutes, 23 of them for the exercises. Needs: [03](03_inside_asyncio_timeout.ipynb), [04](04_it_works.ipynb).*

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
    Call,
    Evidence,
    Lesson,
    bundled,
    observe,
    open_endpoint,
    record,
    scope,
    traced,
)
from stream_lab.experiment import call_shapes, pictures, shortened
from stream_lab.experiment.story import PlainChatVllm

evidence, lesson = Evidence("05"), Lesson("05")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## The same class
#
# This is the class of notebook 04, letter for letter.


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
# A chain is what LangChain makes of `prompt | model`: it fills in the prompt and passes it to the model. The application of the
# incident called its model in this way.

# %%
chain_prediction = lesson.predict(
    "1",
    "The only change is a prompt in front of the model, joined with `|`. When does the stream end?",
    {
        "at the deadline, with a `TimeoutError`, as before": "stopped at the deadline",
        "later, when the socket's read time-out fires": "stopped by the read time-out",
        "it does not end before we leave": "ran past the deadline",
    },
)
chain_prediction

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

# %%
chain_prediction.reveal(
    call.verdict,
    why="No error came, and the server went on. The following cells show why.",
)

# %% [markdown]
# There was no error and no warning. The scope was open and its timer was set, and still the stream went on until *we* left, a
# second and a half after the deadline. An application that does not leave reads on.
#
# ## What the timer did
#
# The timer was set for the deadline, and the stream went on after it.

# %%
timer_prediction = lesson.predict(
    "2",
    "What did the scope's timer do at the deadline?",
    {
        "it did not fire, since its task had ended": "the timer never fired",
        "it cancelled the task that waited for a chunk, and LangChain caught that": "still at work",
        "it cancelled a task that had ended": "already finished",
    },
)
timer_prediction

# %%
fired, left = log.find("timer fired"), log.find("left")

print("the timer fired:               ", fired is not None)
if fired:
    print("it cancelled task number:      ", fired.remembered)
    print("that task had already finished:", fired.remembered_done)
    print("the scope's state afterwards:  ", fired.state)
    print("and when the stream was closed:", left.state)

# %%
timer_prediction.reveal(
    scope.target(log),
    why="The scope remembers the task in which it was entered, and that one had ended long before. "
    "`cancel()` on a task that has ended does nothing and returns False, and the scope does not look "
    "at that value.",
)

# %% [markdown]
# ## Which task pulled which chunk

# %%
one_each = call.recording.one_task_per_chunk
print("one task for each chunk" if one_each else "fewer tasks than chunks")
pictures.swim_lanes(
    call,
    log,
    title="chain.astream: a new task for every chunk; the cancel hits one that has finished",
)

# %% [markdown]
# Each lane is a task. The generator `_astream` is the same one all the time, but a different task resumes it for each chunk. Its
# `async with` was entered while the first task was running, so that is the task which the scope remembers.
#
# ## The line that does it
#
# The tasks come from this line of your own LangChain:

# %% tags=["nbval-ignore-output"]
import inspect
import sys

import langchain_core
from langchain_core.runnables import Runnable, utils

function = Runnable._atransform_stream_with_config
lines, first = inspect.getsourcelines(function)
print(f"langchain-core {langchain_core.__version__}, Python {sys.version.split()[0]}")
print(f"langchain_core/runnables/base.py, in {function.__name__}:")
for number, line in enumerate(lines, first):
    if "coro_with_context" in line:
        print(f"{number}: {line.strip()}")

print()
print(inspect.getsource(utils.coro_with_context))

# %% [markdown]
# It runs one step of the generator, `anext(iterator)`, and hands it to `asyncio.create_task`. The reason is a good one: callbacks find
# their parent run in context variables, and a task is the way to run one step in a given context.
#
# - `create_task(…, context=…)` exists since Python 3.11. That is also the first version with `asyncio.timeout`, so wherever attempt 1
#   runs, this line makes a task.
# - On Python 3.10, the LangChain of the incident awaited the step without a task. Newer versions make a task there as well.
#
# ## What the scope knew

# %% tags=["nbval-ignore-output"]
pictures.stepped(log, title="The timer fires on time, and cancels a task that has ended")

# %% [markdown]
# The scope went on to *expiring*, and waited for a cancellation that could no longer arrive. It became *expired* only when we left the
# stream, a second and a half too late. This is the three-task cell of notebook 03, written by a library.
#
# ## The two tasks, printed
#
# The post-mortem of the incident has two lines like those below. The class is the same once more, and notes at the third chunk which
# task its scope remembers, and which task is running.

# %%
notes = []


class WatchedChatVllm(PlainChatVllm):
    """Attempt 1, with a look at the two tasks at the third chunk."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        chunks = 0
        async with asyncio.timeout(self.stream_timeout) as opened:
            async for chunk in super()._astream(*args, **kwargs):
                chunks += 1
                if chunks == 3:
                    notes[:] = repr(opened._task), repr(asyncio.current_task())
                yield chunk


# %% tags=["nbval-ignore-output"]
watched = WatchedChatVllm(**server.settings, timeout=TIMEOUT)
await record(
    (prompt | watched).astream({"question": "Tell me everything."}), give_up_after=TIMEOUT / 2
)
print("remembered:", shortened.task(notes[0], "Task-1"))
print("running:   ", shortened.task(notes[1], "Task-3"))

# %% [markdown]
# The two names are ours, since asyncio counts all tasks of the process. The coroutine has no name, because it is a single step of an
# async generator.
#
# The outputs on this page are of today's versions. The incident had Python 3.11.4, langchain 1.0.8 and langchain-openai 0.3.34.
# `make run WORLD=seed` runs this notebook with those.

# %%
pictures.server_load({"chain.astream": call}, title="The deadline passes, and the server goes on")

# %% [markdown]
# ## Which calls are affected
#
# LangChain has many ways to call a model. Some wrap it without a task for each chunk.

# %%
shapes_prediction = lesson.predict(
    "3",
    "`model.with_retry().astream(…)` and `(model | parser).astream(…)`: in which does the deadline hold?",
    {
        "in both": "True True",
        "only in `model.with_retry()`": "True False",
        "only in `model | parser`": "False True",
        "in neither": "False False",
    },
)
shapes_prediction

# %% [markdown]
# The next cell calls the class in many ways at once, with a deadline of half a second. It is about LangChain and not about the
# server, so it plays on the bundled fake, whichever server you named above.

# %%
with bundled("endless", gap=0.05) as fake:
    hasty = traced(ScopedChatVllm)(**fake.settings, timeout=0.5, max_retries=0)
    shapes = await call_shapes.measure(hasty, give_up_after=2.5)
shapes

# %%
retried, parsed = (
    shapes.stopped("model.with_retry().astream"),
    shapes.stopped("(model | parser).astream"),
)
shapes_prediction.reveal(
    f"{retried} {parsed}",
    why="`with_retry`, `bind` and `with_config` pass the model's stream on as it is. A sequence "
    "goes through the line above.",
)

# %% [markdown]
# The deadline holds in each row with one task, and in no other. Four cases are worth a second look.
#
# - `with_fallbacks` pulls only the first chunk in a task of its own. But that pull opens the scope, so the scope remembers the wrong
#   task for all the others.
# - A graph of LangGraph runs each node in a task. What counts is how the node calls the model: `chain.ainvoke` streams inside one
#   task, and `chain.astream` does not.
# - `model.astream_events` reads the model in a task of its own, and cancels that task when the events have ended. Sometimes this hits
#   the `TimeoutError` on its way. Then the stream ends on time but without an error, and half an answer looks like a whole one.
# - `ainvoke`, `abatch` and everything else that does not stream never comes to `_astream`, so the scope is not even opened there.
#
# **What it costs.** Two tasks and a switch to a thread for each chunk are also most of what a chain costs: about 150 µs of CPU time
# for a chunk, on top of the model's own ([figures](../docs/figures.md#what-the-deadline-costs), `python benchmarks/deadline_cost.py`).
#
# ## A server that is silent
#
# Suppose that no chunk ever comes. A real server does not do that on request, so this plays on the bundled fake, too. The class and
# the chain are the same.

# %%
silent_prediction = lesson.predict(
    "4",
    "The server accepts the request and sends no chunk. Does the deadline hold in the chain?",
    {
        "yes, the call ends at the deadline": "stopped at the deadline",
        "no, the call waits until we leave": "silent past the deadline",
        "no, but the socket's read time-out ends it later": "stopped by the read time-out",
    },
)
silent_prediction

# %%
with bundled("no_first_token") as fake:
    silent = traced(ScopedChatVllm)(**fake.settings, timeout=TIMEOUT, max_retries=0)
    # The socket's own read time-out would fire at the same moment, so the scope gets half of it.
    silent = silent.model_copy(update={"stream_timeout": TIMEOUT / 2})
    recording = await record(
        (prompt | silent).astream({"question": "Anything."}), give_up_after=2 * TIMEOUT
    )

first_chunk = Call(recording, TIMEOUT / 2)
print("stream:", first_chunk.verdict)
print("tasks: ", len({pull.task for pull in recording.pulls}))

# %%
silent_prediction.reveal(
    first_chunk.verdict,
    why="Only one task has pulled so far. It is the one that the scope remembers, and it still waits.",
)

# %% [markdown]
# A test with a server that hangs is the obvious test of a time-out. It is green here, in a chain too, and the class goes to
# production. It takes a server that *talks* to see it fail.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "The same class in a chain is never cut",
    expected="ran past the deadline",
    found=call.verdict,
)
evidence.claim(
    "A chain pulls each chunk in a task of its own",
    expected="one task for each chunk",
    found="one task for each chunk" if one_each else "fewer",
)
target = scope.target(log)
evidence.claim(
    "The timer cancelled a task that had ended", expected="already finished", found=target
)
evidence.claim(
    "The scope itself ended in the state `expired`",
    expected="expired",
    found=left.state if fired else target,
)
evidence.claim(
    "The server did not stop, since the call was not cut",
    expected="still generating",
    found=call.server,
)
evidence.claim(
    "The deadline holds exactly in the calls that one task pulls (on the fake)",
    expected="no call differs",
    found=shapes.exceptions,
)
evidence.claim(
    "A stall before the first chunk is caught (on the fake)",
    expected="stopped at the deadline",
    found=first_chunk.verdict,
)
evidence.number("tokens_after_deadline", call.tokens_after_deadline)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Which task pulled the first chunk after the deadline? `call.recording.pulls` has an entry for each chunk, with `task` (its
# number), `asked` and `got` (seconds since the call). The deadline is `TIMEOUT`. Answer with the number.

# %% tags=["exercise"]
task_number = ...

# %%
await lesson.check("1", task_number, call)


# %% [markdown]
# **2.** Now without LangChain. `ticking` is a generator with a scope inside. Write `fresh_tasks(generator)`, a coroutine that pulls from
# it as a chain does, each item in a new task. It returns how many items it got: ten, or fewer if the stream ends before.


# %%
async def ticking():
    async with asyncio.timeout(0.05):
        while True:
            yield "tick"
            await asyncio.sleep(0.02)


# %% tags=["exercise"]
async def fresh_tasks(generator):
    raise NotImplementedError  # your code: pull at most ten items, each in a task of its own


# %%
await lesson.check("2", fresh_tasks)

# %% [markdown]
# **3.** Make a scope survive a new task for each chunk. `per_pull(chunks, seconds)` is an async generator that passes on the chunks
# of `chunks`, and raises `TimeoutError` when `seconds` are over, counted from the first pull. It has to hold in one task and in fresh
# tasks, for a stream that never ends and for one that falls silent. A stream that ends in time comes out whole, and an error of
# `chunks` passes through.


# %% tags=["exercise"]
async def per_pull(chunks, seconds):
    raise NotImplementedError  # your code: where does the scope begin, and where does it end?


# %%
await lesson.check("3", per_pull)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [04 · It works](04_it_works.ipynb) · Next: [06 · The elapsed-time fix](06_the_elapsed_time_fix.ipynb)
