# %% [markdown]
# # 07 · Where it stops: three holes of the clock
#
# **After this notebook you will know**
# - what ends a call whose server stops talking, and when,
# - whether a scope of asyncio can be of use in a chain after all,
# - why `await` is no promise to wait,
# - what the server does at the deadline while its client is busy with something else.
#
# *About 37 minutes. Needs: [05](05_it_fails_in_silence.ipynb), [06](06_the_elapsed_time_fix.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from stream_lab import Call, Evidence, Lesson, bundled, observe, open_endpoint, record
from stream_lab.experiment import pictures
from stream_lab.experiment.story import ElapsedChatVllm, PlainChatVllm

evidence = Evidence("07")
lesson = Lesson("07")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# The elapsed-time fix of notebook 06 looks at the clock whenever a chunk arrives. (A chunk is a piece of the answer, as LangChain hands
# it over.) It held against a model that babbles. This notebook plays servers and consumers that are harder, and repairs the fix
# three times.
#
# Holes 1 and 2 need a server that misbehaves on request, so they play on the bundled fake, whichever server you named above. To keep
# the wait short, the deadline is `limit`: a fifth of `TIMEOUT`, and 0.4 s at least. The socket's own read time-out is a quarter longer
# than that, so that you can see which of the two ended a call.

# %%
fake = bundled("endless", gap=0.005)
limit = max(TIMEOUT / 5, 0.4)  # seconds
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
question = "Tell me everything."


async def consumer(stream, pause=0.0):
    """Read a stream, and take `pause` seconds over each chunk."""
    async with aclosing(stream):
        async for chunk in stream:
            yield chunk
            await asyncio.sleep(pause)


async def ask(attempt, scenario, pause=0.0):
    """Make one call in a chain, while the fake plays a scenario."""
    settings = {**fake.settings, "extra_body": {"fake_scenario": scenario}}
    model = attempt(**settings, timeout=1.25 * limit, stream_timeout=limit, max_retries=0)
    stream = consumer((prompt | model).astream({"question": question}), pause)
    return Call(await record(stream, give_up_after=2.5 * limit), limit)


# %% [markdown]
# ## Hole 1: no chunk comes
#
# **What you see in production:** with a deadline of ten seconds, some calls last for minutes. They end with the HTTP client's error, or
# when the user reloads the page.
#
# Here are two servers. Both send five tokens and then no further chunk. The first is silent from then on. The second sends a comment
# line of SSE, `: keep-alive`, every now and then: servers and proxies do that to keep a connection open, and clients skip such lines.

# %%
silence_prediction = lesson.predict(
    "1",
    "The server falls silent after five tokens. What ends the call?",
    {
        "the elapsed-time fix, at the deadline": "stopped at the deadline",
        "the socket's read time-out, later and with an error of its own": "stopped by the read time-out",
        "nothing, for as long as we look": "silent past the deadline",
    },
)
silence_prediction

# %%
comments_prediction = lesson.predict(
    "2",
    "The server sends only comment lines after five tokens. What ends the call?",
    {
        "the elapsed-time fix, at the deadline": "stopped at the deadline",
        "the socket's read time-out, later and with an error of its own": "stopped by the read time-out",
        "nothing, for as long as we look": "silent past the deadline",
    },
)
comments_prediction

# %%
silence, comments = await asyncio.gather(
    ask(ElapsedChatVllm, "stall:after=5"), ask(ElapsedChatVllm, "keep_alive:after=5")
)

print("silence: ", silence.verdict)
print("comments:", comments.verdict)

# %%
silence_prediction.reveal(
    silence.verdict,
    why="The fix runs when a chunk arrives, and none does. The socket's time-out measures the silence itself.",
)

# %%
comments_prediction.reveal(
    comments.verdict,
    why="No chunk arrives, so the fix does not run; but bytes do, so the socket is never silent for long.",
)

# %% [markdown]
# The wait for the next chunk needs a bound of its own, and asyncio has one: a scope, `async with asyncio.timeout(…)`, which cancels the
# task that entered it. Notebook 05 showed such a scope fail, because it was held across `yield`: in a chain, the task that entered it
# had ended before the deadline.
#
# Between two `yield`s, though, there is one wait, and the task that begins it also ends it. So the scope goes around that single
# `await`, and is left before the chunk is handed over. `timeout_at` takes a moment instead of a length, so all these small scopes
# share one deadline.


# %%
class PerPullChatVllm(PlainChatVllm):
    """Attempt 3: a scope around each wait for a chunk, which is left before the chunk is handed over."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        until = asyncio.get_running_loop().time() + (self.stream_timeout or math.inf)
        chunks = super()._astream(*args, **kwargs)
        while True:
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield chunk


# %%
silence_cut, comments_cut = await asyncio.gather(
    ask(PerPullChatVllm, "stall:after=5"), ask(PerPullChatVllm, "keep_alive:after=5")
)

print("silence: ", silence_cut.verdict)
print("comments:", comments_cut.verdict)

# %%
pictures.timeline(
    {
        "elapsed time,\nsilence": silence,
        "elapsed time,\ncomments": comments,
        "scope per pull,\nsilence": silence_cut,
        "scope per pull,\ncomments": comments_cut,
    },
    title="A scope around the one wait ends silence and comments at the deadline",
)

# %% [markdown]
# **What closes the hole:** a timer for each wait. These calls ran in a chain, where a new task pulls each chunk. That no longer
# matters, because each scope begins and ends in one task.
#
# ## Hole 2: there is nothing to wait for
#
# **What you see in production:** after the deadline, text goes on appearing for seconds, most often behind a proxy that buffers.
#
# The proxy hands over twenty tokens in one packet. The consumer takes longer over each of them than the model took to make it, so the
# next chunk is always in memory when the consumer asks for it.

# %%
buffered_prediction = lesson.predict(
    "3",
    "Attempt 3, with a scope around each wait, and chunks that are in memory already. What happens?",
    {
        "the scope stops the stream at the deadline": "stopped at the deadline",
        "chunks go on arriving after the deadline": "ran past the deadline",
        "the socket's read time-out stops it": "stopped by the read time-out",
    },
)
buffered_prediction

# %%
buffered = await ask(PerPullChatVllm, "endless+burst:tokens=20", pause=0.09)

print("stream:", buffered.verdict)

# %%
buffered_prediction.reveal(
    buffered.verdict,
    why="A scope cancels a task where it waits, and `anext` returned each chunk without a wait.",
)

# %% [markdown]
# `await` permits a wait; it does not promise one. If the next chunk is in memory, `await anext(chunks)` returns it without giving way
# to the event loop. The scope is entered and left in one go. Its timer is due, but the loop gets no turn in which it could fire.
#
# So the code must read the clock itself, as attempt 2 did. This time it does so before each pull.


# %%
class ClockedChatVllm(PlainChatVllm):
    """Attempt 4: the clock is asked before each wait for a chunk, and the wait has its scope."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        loop = asyncio.get_running_loop()
        until = loop.time() + (self.stream_timeout or math.inf)
        chunks = super()._astream(*args, **kwargs)
        while True:
            if loop.time() >= until:
                raise TimeoutError("the deadline has passed")
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield chunk


# %%
buffered_cut = await ask(ClockedChatVllm, "endless+burst:tokens=20", pause=0.09)

print("stream:", buffered_cut.verdict)

# %%
pictures.timeline(
    {"scope per pull": buffered, "and the clock\nbefore each pull": buffered_cut},
    title="Chunks that are in memory pass a scope, but not the clock",
)

# %% [markdown]
# **What closes the hole:** a look at the clock before each pull. The error comes when the consumer asks for its next chunk, which can
# be a little late. No chunk is handed over after the deadline.
#
# ## Hole 3: the consumer does not come back
#
# **What you see in production:** all clients have received their time-outs or are busy elsewhere, and the GPU is still at 100 %.
#
# Everything so far happens inside a pull. Now a consumer takes one chunk and then does something else: it writes to a slow client, or
# waits for a lock. So it cannot get an error at the deadline; but the server could be free by then. This experiment runs on the
# server that you named.

# %%
neglected_prediction = lesson.predict(
    "4",
    "The consumer has taken one chunk and is busy. What does the server do after the deadline?",
    {
        "it is free: attempt 4 has closed the connection": "stopped generating",
        "it generates on": "still generating",
        "it pauses, since its client does not read": "paused",
    },
)
neglected_prediction

# %%
busy = 2 * TIMEOUT  # seconds: longer than we look


async def neglect(attempt):
    """Take one chunk and do not come back, while the server is watched until some time after the deadline."""
    model = attempt(**server.settings, timeout=2 * limit, stream_timeout=limit)
    stream = consumer((prompt | model).astream({"question": question}), pause=busy)
    return await observe(stream, deadline=limit, server=server, give_up_after=limit + 0.5)


neglected = await neglect(ClockedChatVllm)

print("server:", neglected.server)

# %%
neglected_prediction.reveal(
    neglected.server,
    why="A generator runs only while it is pulled, so the deadline in it is not looked at. The connection stays open, "
    "and the sockets' buffers take many seconds of tokens before a server has to wait for its client.",
)

# %% [markdown]
# Something has to act that the event loop runs by itself. Attempt 5 has two such things. A task of its own reads the stream, and a
# timer stops that task. The generator only hands over what the reader has put into a queue.


# %%
class ReaderChatVllm(PlainChatVllm):
    """Attempt 5: a task of its own reads, and a timer stops that task, whether it is pulled or not."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        loop = asyncio.get_running_loop()
        until = loop.time() + (self.stream_timeout or math.inf)
        chunks = super()._astream(*args, **kwargs)
        queue: asyncio.Queue[ChatGenerationChunk | None] = asyncio.Queue()

        async def read() -> None:
            try:
                async for chunk in chunks:
                    queue.put_nowait(chunk)
            finally:
                queue.put_nowait(None)

        reader = loop.create_task(read())
        timer = loop.call_at(until, reader.cancel)
        try:
            while (chunk := await queue.get()) is not None and loop.time() < until:
                yield chunk
            if loop.time() >= until:
                raise TimeoutError("the deadline has passed")
            await reader  # it has ended; if with an error, here it is
        finally:
            timer.cancel()
            reader.cancel()


# %%
released = await neglect(ReaderChatVllm)

print("server:", released.server)

# %%
pictures.server_load(
    {
        "attempt 4: the clock before each pull": neglected,
        "attempt 5: a reader and a timer": released,
    },
    title="While the consumer is away, only a timer of its own frees the server",
)

# %% [markdown]
# **What closes the hole:** a reader of its own, and a timer that stops it. This closes the first two holes as well. The timer
# always cancels the right task, because only the reader ever reads. The clock is read before each chunk is handed over.
#
# `stream_deadline.bounded` does this for any stream, and what the sketch leaves out: it reads at most 16 chunks ahead, waits for the
# stream's clean-up, cancels again if a cancellation gets lost, and shuts the connection down itself. Two holes are left, and no
# change to `_astream` can close them: [07b](07b_the_whole_deadline.ipynb).
#
# ## What was shown

# %%
evidence.claim(
    "(1) With the elapsed-time fix, a call whose server falls silent is stopped by the read time-out.",
    expected="stopped by the read time-out",
    found=silence.verdict,
)
evidence.claim(
    "(1) With the elapsed-time fix, a call whose server sends only comments stays silent past the deadline.",
    expected="silent past the deadline",
    found=comments.verdict,
)
evidence.claim(
    "(1) A scope around each wait stops a silent call at the deadline.",
    expected="stopped at the deadline",
    found=silence_cut.verdict,
)
evidence.claim(
    "(1) A scope around each wait stops a call that gets only comments.",
    expected="stopped at the deadline",
    found=comments_cut.verdict,
)
evidence.claim(
    "(2) Chunks that are in memory run past the deadline through a scope around each wait.",
    expected="ran past the deadline",
    found=buffered.verdict,
)
fake.close()

# %%
evidence.claim(
    "(2) A look at the clock before each pull stops them at the deadline.",
    expected="stopped at the deadline",
    found=buffered_cut.verdict,
)
evidence.claim(
    "(3) While the consumer does not pull, a deadline in a generator leaves the server generating.",
    expected="still generating",
    found=neglected.server,
)
evidence.claim(
    "(3) A reader of its own and a timer free the server, though the consumer does not pull.",
    expected="stopped generating",
    found=released.server,
)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Close holes 1 and 2 for any asynchronous stream. `bounded_while_pulled(items, seconds)` is an async generator that hands the
# items on. At the deadline, counted from its first pull, it raises `TimeoutError`: when the source falls silent, when each item is
# ready without a wait, and when each item is pulled by another task. A source that ends in time is handed on whole, and an error of the
# source reaches the consumer.


# %% tags=["exercise"]
async def bounded_while_pulled(items, seconds):
    raise NotImplementedError  # your code: pull from `items`, yield each item, raise TimeoutError at the deadline


# %%
await lesson.check("1", bounded_while_pulled)

# %% [markdown]
# **2.** Now be the server. Write a source that attempt 3 cannot stop: an async generator without arguments, of which at least three
# items arrive after a deadline of 0.3 s, although there is a scope around each wait. The consumer pulls without a pause.


# %% tags=["exercise"]
async def slips_through():
    raise NotImplementedError  # your code: yield items, and take time over them


# %%
await lesson.check("2", slips_through)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [06 · The elapsed-time fix](06_the_elapsed_time_fix.ipynb) · Next:
# [07b · The whole deadline](07b_the_whole_deadline.ipynb)
