# %% [markdown]
# # 07 · Where it stops, and the whole deadline
#
# **After this notebook you will know**
# - five holes of the elapsed-time fix, and how to fall into each,
# - the one mechanism that closes each of them,
# - four calls that a bound can judge wrongly, and what is right for each,
# - which of the four classes holds where, in one picture.
#
# *About 20 minutes. Needs: [05](05_it_fails_in_silence.ipynb), [06](06_the_elapsed_time_fix.ipynb).*

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
from stream_lab import (
    Call,
    Evidence,
    bundled,
    observe,
    open_endpoint,
    record,
    record_sync,
)
from stream_lab.experiment import pictures
from stream_lab.experiment.story import ElapsedChatVllm, PlainChatVllm, ScopedChatVllm

evidence = Evidence("07")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# Most of what follows needs a server that misbehaves on request, so it plays on the bundled fake, whichever server you named above.
# There are many calls to come, so their deadline, `limit`, is a fifth of `TIMEOUT`, and 0.4 s at least. The socket's own time-out is a
# little longer, so that you see which of the two spoke.

# %%
fake = bundled("endless", gap=0.005)
limit = max(TIMEOUT / 5, 0.4)
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
question = "Tell me everything."


async def consumer(stream, pause=0.0):
    """Reads a stream, and takes `pause` seconds over each chunk."""
    async with aclosing(stream):
        async for chunk in stream:
            yield chunk
            await asyncio.sleep(pause)


async def ask(attempt, scenario, pause=0.0):
    """One call in a chain, while the fake plays a scenario."""
    settings = {**fake.settings, "extra_body": {"fake_scenario": scenario}}
    model = attempt(**settings, timeout=1.25 * limit, stream_timeout=limit, max_retries=0)
    stream = consumer((prompt | model).astream({"question": question}), pause)
    return Call(await record(stream, give_up_after=2.5 * limit), limit)


# %% [markdown]
# The last picture compares the attempts so far with the library's class, on several servers. Its calls take a while, so they begin
# now, beside all the others.

# %%
from stream_deadline import ChatVllm
from stream_lab.matrix import cells, picture, side_by_side

rows = {"endless", "stall", "keep-alive comments", "no first token", "no headers"}
rows |= {"suspended", "suspended, chain", "breaks", "stream: suspended"}
ways = {"astream", "chain.astream", "ainvoke", "stream"}
chosen = [
    cell
    for cell in cells()
    if cell.row.name in rows and (cell.column is None or cell.column.name in ways)
]
classes = [PlainChatVllm, ScopedChatVllm, ElapsedChatVllm, ChatVllm]
played = asyncio.to_thread(side_by_side, classes, chosen, jobs=8, deadline=0.5, lateness=0.4)
playing = asyncio.create_task(played)


# %% [markdown]
# ## Hole 1: nothing comes
#
# The elapsed-time fix looks at the clock when a chunk arrives. Here are two servers from which none does: after five tokens one falls
# silent, the other sends only comments to keep the connection alive.
#
# **Predict first.** The deadline passes. What ends each of the two calls?

# %%
silence, comments = await asyncio.gather(
    ask(ElapsedChatVllm, "stall:after=5"), ask(ElapsedChatVllm, "keep_alive:after=5")
)

print("silence: ", silence.verdict)
print("comments:", comments.verdict)

# %% [markdown]
# Silence is left to the socket, which speaks later and with an error of its own. Comments are bytes, so the socket is content, and
# the call goes on for ever.
#
# What is needed is a scope after all, but a small one. Notebook 05 failed because one scope was held across `yield`, where the task
# may change. Between two `yield`s there is one wait, and whichever task began it will also end it. So the scope goes around that one
# `await`, and is left before the chunk is handed over. `timeout_at` takes a moment instead of a length: all these scopes share one
# deadline.


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
# That was a chain, and each chunk was pulled by another task. It does not matter any more: every scope begins and ends in one of
# them.
#
# ## Hole 2: no wait at all
#
# A cancellation is delivered where a task waits (notebook 03). Suppose that it never does. A proxy hands over forty tokens in one
# packet, as proxies that buffer do, and the consumer takes longer over each than the model took to make it.
#
# **Predict first.** The same class. Does the scope end this?

# %%
buffered = await ask(PerPullChatVllm, "endless+burst:tokens=40", pause=0.09)

print("stream:", buffered.verdict)

# %% [markdown]
# The next chunk is in memory already. `await anext(chunks)` returns it without giving way to the event loop; the scope is entered and
# left again in one go, long past its deadline, and nobody had a chance to cancel anything. `await` is a permission to wait and no
# promise of it.
#
# So the clock has to be asked, as attempt 2 did: before each pull.


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
buffered_cut = await ask(ClockedChatVllm, "endless+burst:tokens=40", pause=0.09)

print("stream:", buffered_cut.verdict)

# %%
pictures.timeline(
    {
        "scope per pull": buffered,
        "and the clock\nbefore each pull": buffered_cut,
    },
    title="Chunks that are there already slip through a scope, but not past the clock",
)

# %% [markdown]
# The error comes when the consumer asks for the next chunk, a little late by its own doing. No chunk comes after the deadline.
#
# ## Hole 3: nobody pulls
#
# Everything so far happens inside a pull. Now a consumer takes one chunk and then has other things to do: it writes to a slow client,
# or waits for a lock. This one runs on the server you named.
#
# **Predict first.** The consumer is busy, so it cannot be told in time. But is the GPU free at the deadline?

# %%
busy = 2 * TIMEOUT  # seconds: longer than we look


async def neglect(attempt):
    """A consumer takes one chunk and does not come back; we watch the server until some time after the deadline."""
    model = attempt(**server.settings, timeout=2 * limit, stream_timeout=limit)
    stream = consumer((prompt | model).astream({"question": question}), pause=busy)
    return await observe(stream, deadline=limit, server=server, give_up_after=limit + 0.5)


neglected = await neglect(ClockedChatVllm)

print("server:", neglected.server)

# %% [markdown]
# The deadline was noted down in a generator, and a generator does nothing unless somebody resumes it. For as long as the consumer
# stays away, the connection is open.
#
# Something else has to act: something that the event loop runs by itself. A task of its own reads the stream, so that there is somebody
# to stop; a timer stops it. The generator only hands over what the reader has.


# %%
class ReaderChatVllm(PlainChatVllm):
    """Attempt 5: a task of its own reads, and a timer stops that task, whether anybody pulls or not."""

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
    {"a deadline that is looked at in a pull": neglected, "a reader, and a timer": released},
    title="Nobody pulls: only a timer of its own frees the server",
)

# %% [markdown]
# This closes the first two holes as well. The timer cancels a task that it knows to be the right one, since it is the only one that
# ever reads; and the clock is asked for each chunk. `stream_deadline.bounded` is this, for any stream, with what the sketch leaves out:
# it reads at most 16 chunks ahead, waits for the clean-up, insists when a cancellation gets lost, and shuts the connection down itself.
#
# ## Hole 4: a thread
#
# LangChain has a synchronous side too: `model.stream()` calls `_stream`, not `_astream`.
#
# **Predict first.** Attempt 2 in a `for` loop, on the server you named. Does it hold?

# %%
model = ElapsedChatVllm(**server.settings, timeout=1.25 * limit, stream_timeout=limit)
in_a_thread = Call(
    await asyncio.to_thread(record_sync, model.stream(question), give_up_after=1.5 * limit), limit
)

print("stream:", in_a_thread.verdict)

# %% [markdown]
# Nothing of ours is on that way. The same lines in `_stream` would help against a server that talks. Against one that falls silent they
# would not: the thread is blocked in a read of the socket, runs no line of Python, and a thread cannot be cancelled. Somebody else has
# to end what it waits for.
#
# **Predict first.** Two threads read from servers that have fallen silent. At the deadline another thread calls `close()` on the first
# one's response, and `shutdown` on the second one's socket. Which of the two threads wakes up? (The socket's own time-out is three
# times the deadline and frees both in the end.)

# %%
import socket
import threading


def close(response):
    response.close()


def shut_down(response):
    response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def blocked_until(end):
    """Read from a server that falls silent, in this thread; `end` is called from another one at the deadline."""
    model = PlainChatVllm(**fake.settings, timeout=3 * limit, max_retries=0)
    stream = model.client.create(
        model=fake.model,
        messages=[{"role": "user", "content": question}],
        stream=True,
        extra_body={"fake_scenario": "stall:after=5"},
    )
    threading.Timer(limit, end, [stream.response]).start()
    recording = record_sync(stream, give_up_after=4 * limit)
    return (
        "awake at the deadline"
        if recording.ended < 2 * limit
        else "blocked until the read time-out"
    )


after_close, after_shutdown = await asyncio.gather(
    asyncio.to_thread(blocked_until, close), asyncio.to_thread(blocked_until, shut_down)
)

print("close():   ", after_close)
print("shutdown():", after_shutdown)

# %% [markdown]
# `close()` gives the file descriptor back, but the operating system keeps the connection until the read that uses it has ended; not
# even the server hears of it. `shutdown` ends the connection itself: the read returns, and the server sees its client leave.
#
# That is what the library's watchdog does. One thread knows the sockets and deadlines of all synchronous calls, and sleeps until the
# next is due. The HTTP client's network backend tells it which socket a request is written to, so that it works for a call of which there
# is no response yet.

# %%
from stream_deadline import ChatVllm

settings = {**fake.settings, "extra_body": {"fake_scenario": "stall:after=5"}}
stream = ChatVllm(**settings, timeout=limit).stream(question)
watched = Call(await asyncio.to_thread(record_sync, stream, give_up_after=2 * limit), limit)

print("stream:", watched.verdict)

# %% [markdown]
# ## Hole 5: retries
#
# A server takes the request, begins to generate, and sends nothing, not even headers. `ChatOpenAI` retries twice unless it is told
# otherwise.
#
# **Predict first.** Attempt 2, with a time-out of `limit` and nothing else set. What does its caller get, when, and how many answers
# does the server work on?


# %%
async def ask_as_it_comes(attempt, scenario):
    """One call by a class that is given a time-out and nothing else; with how many generations the server began for it."""
    settings = {**fake.settings, "extra_body": {"fake_scenario": scenario}}
    model = attempt(**settings, timeout=limit, default_headers={"x-request-id": attempt.__name__})
    stream = (prompt | model).astream({"question": question})
    call = Call(await record(stream, give_up_after=4 * limit + 2.5), limit)
    begun = [
        request
        for request in fake.ledger()
        if request["id"].endswith(f"-{attempt.__name__}")
        and request["scenario"] == scenario
        and request["started"] is not None
    ]
    return call, len(begun)


retried, generations = await ask_as_it_comes(ElapsedChatVllm, "no_headers")

print("stream:     ", retried.verdict)
print("on time:    ", retried.recording.ended < 2 * limit)
print("generations:", generations)

# %% [markdown]
# Each attempt has a time-out of its own, with pauses between them, and a request that timed out is sent again, though the server is
# at work on it. When the GPU is slow because it has too much to do, this gives it three times as much.
#
# `ChatVllm` tells the SDK not to retry, and does it itself, inside its one deadline. This decides whether there is another attempt:

# %% tags=["nbval-ignore-output"]
import inspect

from stream_deadline._retry import Retrier

print(inspect.getsource(Retrier._wait_before_another))
print(inspect.getsource(Retrier._may_pass))

# %% [markdown]
# An attempt that would begin too late is not waited for. A request that may have begun a generation is never sent again: only an
# answer that refuses it, or a connection that did not carry it, says that it has not. A gateway's 504 says nothing of the kind: the
# server behind it may be at work.
#
# **Predict first.** Three servers: one sends no headers; one refuses with 429 and then talks without end; one refuses with 503 and
# asks for half a minute of patience. What comes of each?

# %%
headless, refused, overloaded = await asyncio.gather(
    ask_as_it_comes(ChatVllm, "no_headers"),
    ask_as_it_comes(ChatVllm, "refuse:status=429,retry_after=0.1+endless"),
    ask_as_it_comes(ChatVllm, "refuse:status=503,retry_after=30,times=0"),
)

call, begun = overloaded
at_once = call.recording.error and call.recording.ended < limit
print("no headers:    ", headless[0].verdict, "/ generations:", headless[1])
print("429, then talk:", refused[0].verdict, "/ generations:", refused[1])
print("503, wait 30 s:", "told at once" if at_once else call.verdict, "/ generations:", begun)

# %% [markdown]
# ## Beside the holes: four calls that are easy to judge wrongly
#
# A bound can also be missed, or act, where that is wrong. Four servers, and a model with all three bounds: `timeout`,
# `first_chunk_timeout` (to the first chunk that says something), `idle_timeout` (between two of them).
#
# **Predict first.** What is right for each?
#
# - **A warm connection.** The model has answered before, so that its connection is open; now the server keeps even its headers back. A
#   blocking call learns which connection it uses when the headers come.
# - **One piece.** `invoke` gets a healthy answer in one piece, after a time in which a stream would have had its first chunk long ago.
# - **Thoughts.** The model thinks first, longer than `first_chunk_timeout`: deltas with `reasoning`, which LangChain leaves out.
# - **A half.** A proxy ends the stream in order in the middle of the answer, without a finish reason.


# %%
from stream_deadline import AnswerCutShort


def bounds(scenario, **more):
    return ChatVllm(
        **{**fake.settings, "extra_body": {"fake_scenario": scenario}, "timeout": 30, **more}
    )


def warm_connection():
    model = bounds("no_headers", timeout=limit)
    model.invoke(question, extra_body={"fake_scenario": "finite:tokens=2"}, timeout=30)
    return Call(record_sync(model.stream(question), give_up_after=4 * limit), limit).verdict


def one_piece():
    answer = bounds("finite:tokens=150", first_chunk_timeout=limit, idle_timeout=limit).invoke(
        question
    )
    return "the answer" if answer.content else "nothing"


def thoughts():
    chunks = list(
        bounds("finite:tokens=170+think:tokens=150", first_chunk_timeout=limit).stream(question)
    )
    thought = any(chunk.additional_kwargs.get("reasoning_content") for chunk in chunks)
    answer = any(chunk.content for chunk in chunks)
    return "thoughts, then the answer" if thought and answer else "no thoughts"


def a_half():
    try:
        return (
            f"{len(list(bounds('ends_early:after=5').stream(question)))} chunks as if that were all"
        )
    except AnswerCutShort as error:
        return "an error with the half" if error.partial.content else "an error"


warm, piece, thought, half = await asyncio.gather(
    *(asyncio.to_thread(call) for call in (warm_connection, one_piece, thoughts, a_half))
)

print("warm connection:", warm)
print("one piece:      ", piece)
print("thoughts:       ", thought)
print("a half:         ", half)

# %% [markdown]
# The bounds for parts act where an answer has parts, and thoughts are parts that say something. A half is an error, because nothing else
# would tell the caller that it is one.

# %% [markdown]
# ## All of it, in one picture
#
# Five servers, four ways to call, four ways for a caller to behave: 24 cells. A cell *holds* if the call ends on time with a
# `TimeoutError`, the server is free on time, and no generation too many was begun; the fake's ledger is the witness. The deadline
# is half a second.
#
# **Predict first.** Which columns does no class hold but the last?

# %%
played = await playing
held = {name: sum(result.holds for result in results) for name, results in played.items()}

# %%
picture.heat_map(played, title="Each attempt holds where it was tried; ChatVllm holds everywhere")

# %% [markdown]
# The whole matrix has 34 servers, each a second time over a warm connection, 22 ways to call and 18 callers. `stream-lab matrix` plays it for these four, and
# `stream-lab matrix my_module:MyChat` for a class of your own. Try `stream_lab.experiment.story:ReaderChatVllm`: thirty lines go a long way, and
# the cells that they miss are what the library is for.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "1: the elapsed fix leaves silence to the socket",
    expected="stopped by the read time-out",
    found=silence.verdict,
)
evidence.claim(
    "1: comments hold even that off",
    expected="silent past the deadline",
    found=comments.verdict,
)
evidence.claim(
    "1: a scope around the one wait ends silence",
    expected="stopped at the deadline",
    found=silence_cut.verdict,
)
evidence.claim(
    "1: and comments",
    expected="stopped at the deadline",
    found=comments_cut.verdict,
)
evidence.claim(
    "2: buffered chunks slip through it",
    expected="ran past the deadline",
    found=buffered.verdict,
)
evidence.claim(
    "2: asking the clock before each pull stops them",
    expected="stopped at the deadline",
    found=buffered_cut.verdict,
)
evidence.claim(
    "3: while nobody pulls, the server is",
    expected="still generating",
    found=neglected.server,
)
evidence.claim(
    "3: with a reader and a timer, it has",
    expected="stopped generating",
    found=released.server,
)
evidence.claim(
    "4: model.stream() knows nothing of the elapsed fix",
    expected="ran past the deadline",
    found=in_a_thread.verdict,
)
evidence.claim(
    "4: a blocked thread whose response was closed is",
    expected="blocked until the read time-out",
    found=after_close,
)
evidence.claim(
    "4: one whose socket was shut down is",
    expected="awake at the deadline",
    found=after_shutdown,
)
evidence.claim(
    "4: ChatVllm.stream() ends silence",
    expected="stopped at the deadline",
    found=watched.verdict,
)
evidence.claim(
    "5: generations that the elapsed fix begins without headers", expected=3, found=generations
)
evidence.claim(
    "5: ChatVllm ends that",
    expected="stopped at the deadline",
    found=headless[0].verdict,
)
evidence.claim("5: after one generation", expected=1, found=headless[1])
evidence.claim(
    "5: it tries again after a refusal, and is still on time",
    expected="stopped at the deadline",
    found=refused[0].verdict,
)
evidence.claim(
    "5: and does not wait for an attempt that would begin too late",
    expected="told at once",
    found="told at once" if at_once else call.verdict,
)
evidence.claim(
    "a warm connection that stays silent is", expected="stopped at the deadline", found=warm
)
evidence.claim("the bounds for parts leave invoke", expected="the answer", found=piece)
evidence.claim(
    "a model that thinks first gives", expected="thoughts, then the answer", found=thought
)
evidence.claim("a stream without a finish reason is", expected="an error with the half", found=half)
for name, count in held.items():
    evidence.number(f"cells_{name}", count)
    whole = "every cell" if count == len(chosen) else "fewer"
    expected = "every cell" if name == "ChatVllm" else "fewer"
    evidence.claim(f"{name} holds in", expected=expected, found=whole)
fake.close()
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Here are two sources: one computes and never waits, the other waits and never comes back (or so it seems). Write
# `how_many(items, seconds)`, an async function that pulls until the deadline and returns the number of items it got by then. Replace
# the dots.


# %%
async def computes():
    for item in range(200):
        sum(range(100_000))
        yield item


async def falls_silent():
    for item in range(3):
        yield item
    await asyncio.sleep(1)
    yield 3


async def how_many(items, seconds): ...


# %% jupyter={"source_hidden": true} tags=["solution"]
from stream_lab.experiment.exercise import check


async def solution(items, seconds):
    loop = asyncio.get_running_loop()
    until, count = loop.time() + seconds, 0
    while loop.time() < until:
        try:
            async with asyncio.timeout_at(until):
                await anext(items)
        except TimeoutError:
            break
        count += 1
    return count


async def tried(function):
    silent = await function(falls_silent(), 0.05)
    busy = await function(computes(), 0.05)
    return None if silent is None else (silent, "cut" if busy < 200 else "not cut")


check(
    await tried(how_many),
    await tried(solution),
    hint="Ask loop.time() before each pull, and put asyncio.timeout_at around the one await.",
)

# %% [markdown]
# **2.** Against which servers does the elapsed fix hold in `chain.astream`? Put their names into a set in place of the dots. Read them
# off the picture, or off `played["ElapsedChatVllm"]`: each result has `holds`, `cell.row.name`, and `cell.column` (None for callers).

# %%
names = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
expected = {
    result.cell.row.name
    for result in played["ElapsedChatVllm"]
    if result.holds and result.cell.column and result.cell.column.name == "chain.astream"
}
check(names, expected, hint="In which rows of its panel is the second square blue?")

# %% [markdown]
# ---
# Before: [06 · The elapsed-time fix](06_the_elapsed_time_fix.ipynb) · Next:
# [08 · A real vLLM, a real GPU](08_a_real_server.ipynb)
