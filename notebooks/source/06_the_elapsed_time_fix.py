# %% [markdown]
# # 06 · The elapsed-time fix
#
# **After this notebook you will know**
# - the repair that held in production, and why it does not care about tasks,
# - that the library's `ChatVllm` does the same,
# - where it still stops short.
#
# *About 10 minutes. Needs: [05](05_it_fails_in_silence.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import time
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from stream_lab import (
    Call,
    Evidence,
    bundled,
    observe,
    open_endpoint,
    record,
    traced,
)
from stream_lab.experiment import pictures
from stream_lab.experiment.story import PlainChatVllm

evidence = Evidence("06")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Attempt 2: look at the clock
#
# The generator's frame is the one thing that stays the same, whichever task resumes it. So the time goes there, as a plain local
# variable, and is looked at whenever a chunk arrives. `time.monotonic` never jumps, as `time.time` does when the machine's clock is
# set.


# %%
class ElapsedChatVllm(PlainChatVllm):
    """Attempt 2: the elapsed time on the monotonic clock, looked at whenever a chunk arrives."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        started = time.monotonic()
        async for chunk in super()._astream(*args, **kwargs):
            elapsed = time.monotonic() - started
            if self.stream_timeout is not None and elapsed > self.stream_timeout:
                raise TimeoutError(f"Stream timeout after {elapsed:.2f} seconds")
            yield chunk


# %% [markdown]
# Nobody is cancelled. The error is raised in whichever task asks for the next chunk, and that task's caller is waiting for it.
#
# **Predict first.** Does it hold for the model alone? In the chain?

# %%
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
question = "Tell me everything."
model = traced(ElapsedChatVllm)(**server.settings, timeout=TIMEOUT)

alone = await observe(model.astream(question), deadline=TIMEOUT, server=server)
chained = await observe(
    (prompt | model).astream({"question": question}), deadline=TIMEOUT, server=server
)

print("model.astream:", alone.verdict, "/ server:", alone.server)
print("chain.astream:", chained.verdict, "/ server:", chained.server)

# %% [markdown]
# ## From the library
#
# `stream_deadline.ChatVllm` is made as the incident's class was, and does this and a little more: it refuses a time-out of zero, says
# in its error what to change, bounds the synchronous `stream()` too, and closes the connection itself instead of leaving that to
# Python's memory management. Alone, a chunk costs it a third of what it costs `ChatOpenAI`, so that the deadline comes for less than nothing.

# %%
from stream_deadline import ChatVllm, StreamDeadlineExceeded

shipped = ChatVllm(**server.settings, timeout=TIMEOUT)
library = await observe(
    (prompt | shipped).astream({"question": question}), deadline=TIMEOUT, server=server
)

print("chain.astream:", library.verdict, "/ server:", library.server)
print("it is a TimeoutError:", issubclass(StreamDeadlineExceeded, TimeoutError))

# %%
pictures.timeline(
    {
        "attempt 2\nmodel.astream": alone,
        "attempt 2\nchain.astream": chained,
        "ChatVllm\nchain.astream": library,
    },
    title="Elapsed time stops both shapes at the deadline",
)

# %%
pictures.server_load(
    {"model.astream": alone, "chain.astream": chained},
    title="Cut on time, and the server's slot is free at once",
)

# %% [markdown]
# ## Where it stops short
#
# The clock is looked at *when a chunk arrives*. On the bundled fake: five tokens, and then nothing more. The time-out is half as long
# here, so that you wait less.
#
# **Predict first.** When does the call end, and with which error?

# %%
limit = TIMEOUT / 2

with bundled("stall:after=5") as fake:
    stalling = ElapsedChatVllm(**fake.settings, timeout=limit, max_retries=0)
    recording = await record(
        (prompt | stalling).astream({"question": question}), give_up_after=2 * limit + 2
    )

stalled = Call(recording, limit)
print("stream:", stalled.verdict)
print("on time:", stalled.recording.ended < limit + 0.2)

# %% [markdown]
# Later than promised, and with another kind of error: what ended it was the socket's own time-out, which begins anew with every byte.
# Other servers get further. Comments that keep the connection alive hold that one off as well; a server that never sends headers is
# asked three times over, since the SDK retries; a consumer that does not ask for the next chunk never reaches the check, and keeps
# the server busy for as long as it likes. A deadline that holds against all of these needs more than a look at the clock between
# two chunks.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "the elapsed fix cuts model.astream",
    expected="stopped at the deadline",
    found=alone.verdict,
)
evidence.claim(
    "the elapsed fix cuts the chain",
    expected="stopped at the deadline",
    found=chained.verdict,
)
evidence.claim(
    "the server stopped generating when model.astream was cut",
    expected="stopped generating",
    found=alone.server,
)
evidence.claim(
    "the server stopped generating when the chain was cut",
    expected="stopped generating",
    found=chained.server,
)
evidence.claim(
    "the library's ChatVllm cuts the chain",
    expected="stopped at the deadline",
    found=library.verdict,
)
evidence.claim(
    "the server stopped generating when ChatVllm cut it",
    expected="stopped generating",
    found=library.server,
)
evidence.claim(
    "silence between two chunks is left to the socket (on the fake)",
    expected="stopped by the read time-out",
    found=stalled.verdict,
)
evidence.number("late_model_s", alone.recording.ended - TIMEOUT)
evidence.number("late_chain_s", chained.recording.ended - TIMEOUT)
evidence.number("late_library_s", library.recording.ended - TIMEOUT)
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# `ChatVllm` keeps the start of a call in the call, not in the model. Suppose `started` were an attribute of the model, set when the
# model is made. Which call would be cut wrongly: the first one, or a later one? Write `"first"` or `"later"`.

# %%
from stream_lab.experiment.exercise import check

cut_wrongly = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
made, calls = (
    0.0,
    {"first": 0.5, "later": 60.0},
)  # seconds at which each call starts, with a deadline of 45 s for each
wrong = [name for name, start in calls.items() if start - made > 45]
check(
    cut_wrongly,
    wrong[0],
    hint="How much of its 45 s has a call left that starts a minute after the model was made?",
)

# %% [markdown]
# ---
# Before: [05 · It fails in silence](05_it_fails_in_silence.ipynb) · Next:
# [07 · Where it stops](07_where_it_stops.ipynb)
