# %% [markdown]
# # 30 · The incident in thirty minutes
#
# An AI server calls a language model through LangChain with `timeout=45`. It works for an ERP server, which is a company's order system.
# One day a model did not stop talking for ten minutes.
#
# This notebook plays that incident on your machine, with 0.6 seconds in place of 45. It shows what happened, and what two fixes do about it.
#
# **After this notebook you will know**
# 1. what `timeout=45` bounds on a stream, and on `ainvoke`,
# 2. what the AI server and the GPU do when the ERP server gives up, and how many tokens that costs,
# 3. how a model server learns that its client has left, and how soon,
# 4. what turns a `CancelledError` into a `TimeoutError`, and when it does not,
# 5. what the obvious fix does on a model, and in a chain,
# 6. what it does when no chunk comes at all,
# 7. which line of LangChain is behind it, for which ways to call, and since which Python,
# 8. how to write a fix that holds in a chain, and why,
# 9. which holes are left, and what closes each,
# 10. which test in your repository goes red if this comes back.
#
# *About 30 minutes without the claims' code at the end; the two exercises take 20 more. You should have written `async def` before; asyncio's internals are explained. The words of this tour are in the [glossary](../docs/glossary.md).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds; this tour divides it by five

# %%
import asyncio
import time
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
from stream_lab.experiment import call_shapes, pictures
from stream_lab.experiment.story import PlainChatVllm

evidence, lesson = Evidence("30"), Lesson("30")
LIMIT = max(TIMEOUT / 5, 0.6)  # seconds: the deadline from here on, in place of the incident's 45
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Three servers in a row
#
# ```text
#  ERP server  ──request──▶  AI server  ──stream──▶  GPU server
#  gives up after LIMIT      FastAPI, LangChain       vLLM, makes tokens
# ```
#
# The GPU server is a *fake* here: a small program that speaks as vLLM does, and never stops talking (or it is your own server, if
# you gave a `BASE_URL`). The AI server is a web application. It collects the model's *chunks*, the small pieces in which an answer
# is streamed, and returns the whole text. `PlainChatVllm` is LangChain's `ChatOpenAI`. It passes `timeout=` on, and keeps it under the name
# `stream_timeout`, for the fixes to come.
# The ERP server is one call of `httpx2`, the HTTP client that the OpenAI SDK uses, too.

# %%
from fastapi import FastAPI

# The first call loads many modules, so we make it before timing anything.
async for _ in (prompt | PlainChatVllm(**{**server.settings, "max_tokens": 1})).astream(
    {"question": "Hi"}
):
    pass

read = []  # when the AI server got each chunk


def ai_server(model_class):
    chain = prompt | model_class(**server.settings, timeout=1.5 * LIMIT)
    app = FastAPI()

    @app.post("/answer")
    async def answer(question: str) -> str:
        text = ""
        async for chunk in chain.astream({"question": question}):
            read.append(time.monotonic())
            text += chunk.content
        return text

    return app


# %%
both_go_on = lesson.predict(
    "1",
    "The ERP server gives up after LIMIT seconds and closes its connection. The AI server's model is called with timeout=1.5 * LIMIT. "
    "What does the GPU server do?",
    {
        "it stops, because the ERP server's connection is closed": "stopped at once",
        "it stops, because timeout= ends the AI server's request": "stopped generating",
        "it goes on generating": "still generating",
    },
)
both_go_on

# %%
import httpx2
from stream_lab.experiment.abandoned import watch_request
from stream_lab.processes.serving import serve


def erp_server(ai):
    question = {"question": "Why is my order late?"}
    httpx2.post(f"{ai.url}/answer", params=question, timeout=LIMIT)


def incident(model_class):
    with serve(ai_server(model_class)) as ai:
        return watch_request(lambda: erp_server(ai), server=server, afterwards=2 * LIMIT)


request = await asyncio.to_thread(incident, PlainChatVllm)
left = request.recording.started + request.deadline
print("ERP server:", request.recording.error)
read_on = any(at > left + LIMIT for at in read)
print("AI server: ", "it read on" if read_on else "it was not seen reading on")
print("GPU server:", request.server)

# %%
both_go_on.reveal(
    request.server,
    why="The AI server's handler does not look at its caller's connection while it works, so it reads on. The GPU server "
    "knows only its own client, the AI server, and that one is still connected. Why timeout= did not end it comes next.",
)

# %% tags=["nbval-ignore-output"]
print(request.tokens_after_deadline, "tokens for a caller that had left, while we watched")
if request.server == "still generating":
    watched_for = request.samples[-1].at - request.deadline
    in_ten_minutes = request.tokens_after_deadline / watched_for * 600
    print(
        f"{in_ten_minutes:.0f} at this rate in ten minutes, for one request; a GPU makes many more"
    )
else:
    print("no rate, since the GPU server was not seen going on:", request.server)

# %%
pictures.server_load(
    {"the GPU server; the ERP server disconnects at the dashed line": request},
    title=f"After its caller's caller has gone, the GPU server: {request.server}",
)

# %% [markdown]
# (The line is a little later than LIMIT, because the client's clock starts when it has sent its request.)
#
# ## What `timeout=` bounds
#
# We call three servers with `timeout=LIMIT`. The first never stops talking. The second sends five tokens, and then nothing. The third is
# asked for a whole answer with `ainvoke`, and sends nothing until the answer is complete, which it never is.
#
# `record` reads a stream to its end. It gives up after the seconds that we name, and notes when chunks came and what ended the stream.

# %%
ended_by_it = lesson.predict(
    "2",
    "Which of the three calls does timeout=LIMIT end?",
    {
        "all three": "endless stream, stalled stream, ainvoke",
        "the two that go silent": "stalled stream, ainvoke",
        "only ainvoke": "ainvoke",
    },
)
ended_by_it

# %%
QUESTION = "Tell me everything."


fake = bundled("endless", gap=0.02)  # for behaviour that a real server cannot produce on demand


def on_fake(model_class, scenario, **settings):
    body = {"fake_scenario": scenario}
    return model_class(**{**fake.settings, "extra_body": body, "max_retries": 0, **settings})


async def whole_answer(model):
    yield await model.ainvoke(QUESTION)


patience = {"give_up_after": 2 * LIMIT}
recordings = await asyncio.gather(
    record(on_fake(PlainChatVllm, "endless", timeout=LIMIT).astream(QUESTION), **patience),
    record(on_fake(PlainChatVllm, "stall:after=5", timeout=LIMIT).astream(QUESTION), **patience),
    record(whole_answer(on_fake(PlainChatVllm, "endless", timeout=LIMIT)), **patience),
)

ended = {
    name: f"ended by {kind}"
    if (kind := recording.error.partition(":")[0])
    else "not ended: still running when we gave up"
    for name, recording in zip(
        ("endless stream", "stalled stream", "ainvoke"), recordings, strict=True
    )
}
for name, what in ended.items():
    print(f"{name}: {what}")

# %%
ended_by_it.reveal(
    ", ".join(name for name, what in ended.items() if "not ended" not in what),
    why="Each chunk starts a new read, with a new time-out. A stream that keeps sending never trips it. Silence does, and a "
    "whole answer is one long silence.",
)

# %% [markdown]
# These calls had `max_retries=0`. LangChain's own setting is two retries, and each begins with a new time-out:

# %%
before = len(fake.ledger())
impatient = on_fake(PlainChatVllm, "endless", timeout=LIMIT, max_retries=2)
whole = await record(whole_answer(impatient), give_up_after=20 * LIMIT)
requests = len(fake.ledger()) - before
print("ainvoke with LangChain's own two retries:", requests, "requests")
print("ended after more than three times LIMIT:", whole.ended > 3 * LIMIT)

# %% [markdown]
# LangChain passes `timeout` to the OpenAI SDK, which passes it to its HTTP client. There it becomes four bounds:

# %%
httpx2.Timeout(LIMIT).as_dict()

# %% [markdown]
# Not one of them is for the whole call. `read` bounds *one* read from the socket: each time that bytes arrive, it starts again.
# (`pool` bounds the wait for a free connection.)
#
# Why not `max_tokens`? It is a useful brake, but not a deadline: it bounds tokens, and a token can take any time. Here are ten tokens from two
# servers, one of which is four times slower, and from a third that stalls after five.


# %% tags=["nbval-ignore-output"]
async def ten_tokens(scenario):
    model = on_fake(PlainChatVllm, scenario, max_tokens=10)
    recording = await record(model.astream(QUESTION), give_up_after=2 * LIMIT)
    return recording.ended


servers = {
    "10 ms a token": "endless+pace:gap=10",
    "40 ms a token": "endless+pace:gap=40",
    "a stall": "stall:after=5",
}
took = await asyncio.gather(*map(ten_tokens, servers.values()))
for name, seconds in zip(servers, took, strict=True):
    how = "we gave up after" if seconds > 1.9 * LIMIT else "ended after"
    print(f"{name}: {how} {seconds:.1f} s")

# %% [markdown]
# ## How a model server learns that its client has left
#
# Nothing in OpenAI's protocol says "stop". A server can find out in only one way: its client closes the connection. So everything that
# follows comes down to closing *that* connection on time. How soon does the server stop then? We ask for a stream, close the
# connection, and look at `vllm:num_requests_running` until it is 0. That is a *gauge*, a number among the server's metrics.

# %% tags=["nbval-ignore-output"]
from openai import OpenAI
from stream_lab.experiment.release import watch_release


def request_a_stream():
    key = server.settings["api_key"].get_secret_value()
    client = OpenAI(base_url=server.base_url, api_key=key)
    stream = client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        extra_body=server.settings["extra_body"],
    )
    return stream.close  # closes the connection


release = await asyncio.to_thread(
    watch_release, server, request_a_stream, after=LIMIT, watch=4 * LIMIT
)
print("the server:", release.server)
if release.freed is not None:
    after = 1000 * (release.freed - release.left)
    print(f"nothing ran {after:.0f} ms after its client had closed the connection")

# %% [markdown]
# Without a `BASE_URL` that was the fake. Is a real vLLM as quick? This project keeps a record of one. `stream-lab servers --json` closed
# the connections of five streams and of five whole answers, and read the same gauge every few milliseconds.

# %% tags=["nbval-ignore-output"]
from stream_lab.processes.backends.release_table import kept

for name in ("vLLM", "fake-vllm"):
    row = kept(name)
    print(f"{row.label}, recorded on {row.day}: ms from the close until nothing ran")
    for what, seconds in {"streams": row.stream, "whole answers": row.whole}.items():
        print(f"    {what}:", ", ".join(f"{1000 * each:.0f}" for each in seconds))

# %% [markdown]
# So a real vLLM needs some hundredths of a second, as the fake does. On the CPU of this record, some needed a tenth or two; on a quiet
# machine none did. Other servers differ, and some do not stop before a whole answer is complete:
# [the table](../docs/real_servers.md).

# %% [markdown]
# ## Task, scope, cancel
#
# Python has a time-out for a whole block: `async with asyncio.timeout(45):`. Before we use it, three words.
#
# > **Task.** What asyncio runs: a coroutine with a place in the event loop. One task runs at a time, until it waits for something.
# >
# > **Cancel.** `task.cancel()` asks a task to stop: at its next `await` it gets a `CancelledError`. For a task that has ended it does
# > nothing, and returns `False`.
# >
# > **Scope.** `asyncio.timeout(…)` makes one. On entry, `__aenter__` remembers *the task that is running now* and sets a timer. The timer
# > cancels that task. On exit, `__aexit__` turns the `CancelledError` into a `TimeoutError`, if the cancellation is its own.
#
# Three small cases show what each part does.

# %%
loop = asyncio.get_running_loop()


async def time_runs_out():
    async with asyncio.timeout(0.05):
        await asyncio.sleep(1)


async def cancelled_by_another_as_well():
    async with asyncio.timeout(0):  # its timer fires at the first wait ...
        asyncio.current_task().cancel()  # ... and something else cancels the task before that
        await asyncio.sleep(1)


async def entered_by_a_task_that_has_ended():
    timeout = asyncio.timeout(0.05)
    await asyncio.create_task(timeout.__aenter__())
    await asyncio.sleep(0.1)
    await timeout.__aexit__(None, None, None)
    return f"no error, though expired() is {timeout.expired()}"


async def outcome(work):
    try:
        return await asyncio.create_task(work())
    except (TimeoutError, asyncio.CancelledError) as error:
        return type(error).__name__


cases = time_runs_out, cancelled_by_another_as_well, entered_by_a_task_that_has_ended
outcomes = {case.__name__: await outcome(case) for case in cases}
for name, out in outcomes.items():
    print(f"{name:36} {out}")

# %% [markdown]
# The first case is the usual one. In the second the scope does not interfere: a cancellation from outside must not be lost, so the
# `CancelledError` goes on. In the third the scope expired, cancelled a task that had ended, and no error came out. Here are the lines,
# from your own Python: the task is remembered on entry, and only `__aexit__` makes a `TimeoutError`.

# %% tags=["nbval-ignore-output"]
import inspect

print(inspect.getsource(asyncio.Timeout.__aenter__))
print(inspect.getsource(asyncio.Timeout.__aexit__))

# %% [markdown]
# ## The obvious fix
#
# LangChain asks every chat model for its chunks through `_astream`. A subclass can put a scope around that, once, for all callers.
#
# We call it with two tools. `traced` makes a subclass that also records which task asks for each chunk. `observe` does what `record`
# does, and watches the server's metrics as well.


# %%
class ScopedChatVllm(PlainChatVllm):
    """Attempt 1: a scope of asyncio.timeout around the loop inside _astream."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async with asyncio.timeout(self.stream_timeout):
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk


# %%
where_it_holds = lesson.predict(
    "3",
    "We call it in two ways: model.astream(…), and (prompt | model).astream(…). Where does the scope end the endless stream?",
    {
        "in both": "model, chain",
        "only when the model is called directly": "model",
        "only in the chain": "chain",
        "in neither": "",
    },
)
where_it_holds

# %%
model = traced(ScopedChatVllm)(**server.settings, timeout=LIMIT)
alone = await observe(model.astream(QUESTION), deadline=LIMIT, server=server)

chain = prompt | model
with scope.observed() as log:
    chained = await observe(
        chain.astream({"question": QUESTION}),
        deadline=LIMIT,
        server=server,
        give_up_after=3 * LIMIT,
    )

for name, call in {"model": alone, "chain": chained}.items():
    print(
        f"{name}: {call.verdict}; the server: {call.server}; error: {call.recording.error or 'none'}"
    )

# %%
stopped = {"model": alone.verdict, "chain": chained.verdict}
where_it_holds.reveal(
    ", ".join(name for name, verdict in stopped.items() if verdict == "stopped at the deadline"),
    why="The class is the same, and so is the model. What differs is which task asks for each chunk.",
)

# %% [markdown]
# ## Why there was no error
#
# `traced` recorded which task pulled each chunk; `log` recorded what the scope did.

# %%
pictures.swim_lanes(
    chained,
    log,
    title=f"In the chain: {call_shapes.pulled_by(chained.recording)}; "
    f"the task that the timer cancels: {scope.target(log)}",
    most=20,
)

# %%
fired = log.find("timer fired")
per_chunk = chained.recording.one_task_per_chunk
print("a task for each chunk:              ", per_chunk)
if fired:
    print("the scope's timer fired:             True")
    print("it cancelled task number:           ", fired.remembered)
    print("that task had already ended:        ", fired.remembered_done)

# %% [markdown]
# The scope was opened by task 1, when the chain asked for the first chunk. Task 1 ended with that chunk. The timer cancelled it all the
# same: `cancel()` on a task that has ended does nothing and raises nothing. The scope expired, as in the third small case. The stream
# went on in a new task for every chunk.
#
# When a chain is streamed, the same class does fire in one case: no chunk has come yet, so task 1 is still waiting. (`timeout=60` keeps
# the socket's own time-out out of the way; `stream_timeout` is the scope's.)

# %%
silent = on_fake(traced(ScopedChatVllm), "no_first_token", timeout=60, stream_timeout=LIMIT)
first = await record((prompt | silent).astream({"question": QUESTION}), give_up_after=3 * LIMIT)

print("no first chunk:", first.ending)
print("tasks that asked for one:", len({pull.task for pull in first.pulls}))

# %% [markdown]
# ## The line
#
# Which line makes a task for each chunk? Here it is, in your own LangChain, with the function that it calls.

# %% tags=["nbval-ignore-output"]
import langchain_core
from langchain_core.runnables import Runnable, utils

function = Runnable._atransform_stream_with_config
lines, first_line = inspect.getsourcelines(function)
print(f"langchain-core {langchain_core.__version__}, runnables/base.py, {function.__name__}:")
for number, line in enumerate(lines, first_line):
    if "coro_with_context" in line:
        print(f"{number}: {line.strip()}")
print(inspect.getsource(utils.coro_with_context))

# %% [markdown]
# The line runs one step of the generator, `anext(iterator)`, in a task of its own. It does so because of LangChain's *context variables*:
# they say which run a step belongs to, so that its callbacks are reported there, and a task is how Python runs a step with given
# variables. `create_task(…, context=…)` is new in Python 3.11. What did the function do before? Here it is again, as it was in the
# incident's langchain-core 1.1.0. We call it once as it is, and once as if this Python were older.

# %% tags=["nbval-ignore-output"]
import sys
from contextvars import copy_context


def coro_with_context(coro, context, version):  # of langchain-core 1.1.0
    if version >= (3, 11):  # asyncio_accepts_context()
        return asyncio.create_task(coro, context=context)
    return coro


async def task_of_a_step(version):
    async def step():
        return asyncio.current_task()

    ran_in = await coro_with_context(step(), copy_context(), version)
    return "the caller's own task" if ran_in is asyncio.current_task() else "a task of its own"


by_version = {version: await task_of_a_step(version) for version in (sys.version_info, (3, 10))}
for version, what in by_version.items():
    print(f"Python {version[0]}.{version[1]}: a step runs in {what}")

# %% [markdown]
# So: **since Python 3.11**. Newer versions of LangChain, such as the one above this cell, make a task with any Python. But
# `asyncio.timeout` is new in 3.11, too: wherever attempt 1 can run, a chain runs each step in a task of its own.
#
# Which kinds of call pull each chunk in a new task? We try many of them at once, with attempt 1. (A `RunnableLambda` is a function as a step
# of a chain, a `RunnableParallel` several steps side by side, and a `RunnableBranch` an if-else. A *fallback* is the next model to try.)

# %%
model = on_fake(traced(ScopedChatVllm), "endless+pace:gap=50", timeout=LIMIT)
shapes = await call_shapes.measure(model, give_up_after=LIMIT + 1.1)
shapes

# %% [markdown]
# The deadline holds exactly where a single task pulls every chunk. Two rows look odd:
#
# - With *fallbacks*, only the first chunk is pulled in a task of its own, because LangChain tries the next model if the first chunk fails.
#   But that pull opens the scope, so the scope remembers a task that has ended.
# - *LangGraph* runs a node in a task. It streams messages, so there even `chain.ainvoke` goes through `_astream`, and inside that one task: the scope's
#   task lives as long as the call. `chain.astream` in a node goes through the line above.
#
# ## The fix
#
# A chain changes the task for each chunk. It does not change the *generator*: `_astream` is one object, which each task resumes where
# the last one paused. So the deadline belongs in a local variable of the generator, and has to be looked at by whichever task resumes
# it.


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


# %%
fixed = await observe(
    (prompt | ElapsedChatVllm(**server.settings, timeout=LIMIT)).astream({"question": QUESTION}),
    deadline=LIMIT,
    server=server,
)
print("chain:", fixed.verdict, "/ the server:", fixed.server)

# %% [markdown]
# (On `ChatOpenAI` itself, write `self.request_timeout` for `self.stream_timeout`.)
#
# Why does `started` survive? We pull three chunks as a chain does, each in a new task, and look into the paused generator in between.

# %%
chunks = on_fake(ElapsedChatVllm, "finite")._astream([("user", QUESTION)])
pulled_by, seen = [], []
for _ in range(3):
    task = asyncio.create_task(anext(chunks))
    await task
    pulled_by.append(task)
    seen.append(chunks.ag_frame.f_locals["started"])
await chunks.aclose()

print("different tasks:                  ", len(set(pulled_by)))
print("different values of `started`:    ", len(set(seen)))

# %% [markdown]
# The variable lives in the generator's *frame* (`ag_frame`), where Python keeps a paused function's local variables. The frame belongs to
# no task. `asyncio.timeout` also kept its deadline. But the task that it had remembered was gone.
#
# ## Three situations: in which does the deadline hold?
#
# So far the server talked, and the program read. Here are three other situations:
#
# - **silence**: five tokens, and then nothing at all;
# - **comments**: five tokens, and then only *comments*, lines that keep a connection alive and that no client shows;
# - **a slow reader**: the program takes one chunk, and is busy elsewhere when the deadline passes.

# %%
what_is_left = lesson.predict(
    "4",
    "For how many of these three does the fix above, ElapsedChatVllm, end the call and free the server at the deadline?",
    {"none": 0, "one": 1, "two": 2, "all three": 3},
)
what_is_left

# %% [markdown]
# We test two more classes alongside it. `ClockedChatVllm` is the fix with a scope around *each wait* for a chunk, left before the chunk is
# handed over. `ChatVllm`, from this project's library `stream_deadline`, is used exactly like `ChatOpenAI`. It has a timer of its own, which
# shuts the connection down whether a task is waiting for a chunk or not ([how](07b_the_whole_deadline.ipynb)).

# %%
from stream_deadline import ChatVllm
from stream_lab.experiment.story import ClockedChatVllm

HOLDS = "stopped at the deadline"
CLASSES = (ElapsedChatVllm, ClockedChatVllm, ChatVllm)


async def in_chain(model_class, scenario):
    chain = prompt | on_fake(model_class, scenario, timeout=LIMIT)
    stream = chain.astream({"question": QUESTION})
    return Call(await record(stream, give_up_after=LIMIT + 0.7), LIMIT)


async def one_chunk(model_class):
    chain = prompt | on_fake(model_class, "endless", timeout=LIMIT)
    stream = chain.astream({"question": QUESTION})
    await anext(stream)
    return stream, len(fake.ledger()) - 1  # the fake's ledger has a line for each request


slow = [await one_chunk(each) for each in CLASSES]  # these readers are busy elsewhere from now on
scenarios = ["stall:after=5"] * 3 + ["keep_alive:after=5"] * 3
calls = await asyncio.gather(*map(in_chain, CLASSES * 2, scenarios))

# %%
slow_reader = []
for stream, number in slow:
    entry = fake.ledger()[number]
    freed_after = (entry["slot_freed"] or time.time()) - entry["started"]
    slow_reader.append(HOLDS if freed_after < LIMIT + 0.5 else "the server is still generating")
    await stream.aclose()

found = {
    "silence": [call.verdict for call in calls[:3]],
    "comments": [call.verdict for call in calls[3:]],
    "slow reader": slow_reader,
}
for situation, verdicts in found.items():
    print(situation)
    for each, what in zip(CLASSES, verdicts, strict=True):
        print(f"   {each.__name__:16} {what}")

# %% tags=["nbval-ignore-output"]
print("In silence, after the deadline:")
for each, call in zip(CLASSES, calls, strict=False):
    error = call.recording.error.partition(":")[0]
    print(f"   {each.__name__:16} {call.recording.ended - LIMIT:.2f} s, {error or 'no error'}")

# %%
what_is_left.reveal(
    [verdicts[0] for verdicts in found.values()].count(HOLDS),
    why="ElapsedChatVllm looks at the clock only when a chunk arrives. The socket's read time-out ends the silence, late and with another error. "
    "That read time-out counts from the last token, so with timeout=45 it may come almost 45 s late. "
    "A scope around each wait ends silence and comments. The slow reader needs a timer that closes the connection even when no task waits for a chunk.",
)

# %% [markdown]
# This is the scope around each wait. It covers only the wait for one chunk, and no scope is open across the `yield`.

# %%
print(inspect.getsource(ClockedChatVllm._astream))

# %% [markdown]
# There are also other ways to call. A plain `model.stream`, `model.invoke` or `model.ainvoke` does not pass through `_astream`, so an override there
# does not bound it. Here are `stream`, of a server that never stops talking, and `ainvoke` with LangChain's two retries.

# %%
from stream_lab import record_sync


def streamed(model_class):
    chunks = on_fake(model_class, "endless", timeout=LIMIT).stream(QUESTION)
    return record_sync(chunks, give_up_after=2 * LIMIT)


def in_whole(model_class):
    model = on_fake(model_class, "endless", timeout=LIMIT, max_retries=2)
    return record(whole_answer(model), give_up_after=20 * LIMIT)


streams = [asyncio.to_thread(streamed, each) for each in CLASSES]
ended_calls = await asyncio.gather(*streams, *map(in_whole, CLASSES))
punctual = [bool(each.error) and each.ended < LIMIT + 0.5 for each in ended_calls]
other_ways = {"stream": punctual[:3], "ainvoke": punctual[3:]}
for way, on_time in other_ways.items():
    for each, holds in zip(CLASSES, on_time, strict=True):
        print(
            f"{way:8} {each.__name__:16} {'ended at the deadline' if holds else 'not ended then'}"
        )

# %% [markdown]
# ## The incident again, repaired
#
# First with one name changed: `ChatVllm` in place of `PlainChatVllm`. Then with `PlainChatVllm` again, and two lines that tell the AI server
# that its own caller has left.

# %%
repaired = await asyncio.to_thread(incident, ChatVllm)
print("ChatVllm:      ", repaired.server)

# %%
from stream_deadline.asgi import DeadlineMiddleware


def watched_incident():
    app = ai_server(PlainChatVllm)
    app.add_middleware(DeadlineMiddleware, default_timeout=60)
    with serve(app) as ai:
        return watch_request(lambda: erp_server(ai), server=server, afterwards=2 * LIMIT)


watched = await asyncio.to_thread(watched_incident)
print("the middleware:", watched.server)

# %% [markdown]
# The middleware sees that the client has disconnected, and ends every call that was made for it. `default_timeout` is for requests that
# carry no deadline of their own.

# %% tags=["nbval-ignore-output"]
for name, each in {"as it was": request, "ChatVllm": repaired, "the middleware": watched}.items():
    print(f"{name:15} {each.tokens_after_deadline} tokens after the ERP server had left")

# %% [markdown]
# `ChatVllm` leaves a few tokens, because its own deadline is 1.5 × LIMIT. It does not know when the ERP server leaves; the middleware does.

# %% [markdown]
# ## The test that goes red
#
# Nothing on the AI server raised an error, so your logs will not tell you if it comes back. A test will, if it does what the incident did: a model
# that talks, in a chain. (Remember the one case in which attempt 1 works: a test with a server that hangs is green.) The fixture
# `fake_vllm` comes with the package `fake-vllm`. `model_class` is the class that you ship; here it is attempt 1, and then the fix. The cell
# after the test writes it to a file and runs pytest on that, which takes about ten seconds. In a copy of the course the file is
# `test_deadline.py`, beside this notebook.

# %%
import pytest
from langchain_core.prompts import ChatPromptTemplate


@pytest.mark.fake_vllm("endless")
async def test_the_deadline_holds_in_a_chain(model_class, fake_vllm):
    address = {"base_url": fake_vllm.base_url, "model": fake_vllm.model, "api_key": "-"}
    chain = ChatPromptTemplate.from_messages([("user", "{q}")]) | model_class(
        **address, timeout=0.5
    )
    chunks = 0
    with pytest.raises(TimeoutError):
        async for _ in chain.astream({"q": "Why?"}):
            chunks += 1
            assert chunks < 60, "the stream goes on after its deadline"


# %%
from stream_lab.course.own_tests import run_with_attempts

tested = run_with_attempts(test_the_deadline_holds_in_a_chain)
colour = {True: "green", False: "red"}
print("attempt 1:", colour[tested.attempt.passed], "-", tested.attempt.said)
print("the fix:  ", colour[tested.fix.passed])

# %% [markdown]
# Attempt 1 is red with `assert 60 < 60`: sixty chunks had come, so the test stopped waiting for an end.
#
# To use this test in your own repository, install the fake from a clone of this project with `pip install ./fake_vllm pytest-asyncio` (it is
# on no package index yet). Put this into pyproject.toml:
#
# ```toml
# [tool.pytest.ini_options]
# asyncio_mode = "auto"
# asyncio_default_fixture_loop_scope = "function"  # without it, pytest-asyncio prints a warning
# ```
#
# Give the test your class in `conftest.py` ([more](../docs/howto/test_your_client.md)). A red run may also print `RuntimeError: aclose():
# asynchronous generator is already running`: the stream that the test left was still being read. It is not a second failure.
#
# ```python
# import pytest
# from my_service.model import MyChatModel
#
#
# @pytest.fixture
# def model_class():
#     return MyChatModel
# ```

# %% [markdown]
# ## What was shown
#
# The last column is from a run of this notebook with the versions of the incident (langchain 1.0.8, langchain-openai 0.3.34, Python 3.11).

# %%
evidence.claim(
    "The GPU server goes on when the caller of its client gives up",
    expected="still generating",
    found=request.server,
)
evidence.claim(
    "`timeout=` ends silence and whole answers, and no stream that keeps sending (on the fake)",
    expected="stalled stream, ainvoke",
    found=", ".join(name for name, what in ended.items() if "not ended" not in what),
)
evidence.claim(
    "With LangChain's two retries, `timeout=` ends `ainvoke` only after the third (on the fake)",
    expected="3 requests, more than three times as late",
    found=f"{requests} requests, {'more than three times as' if whole.ended > 3 * LIMIT else 'less'} late",
)
evidence.claim(
    "The server stops when its own client closes the connection",
    expected="stopped",
    found=release.server,
)
record_of_vllm = kept("vLLM")
longest = max(*record_of_vllm.stream, *record_of_vllm.whole)
evidence.claim(
    "A real vLLM has stopped within a second of each disconnect (a kept record)",
    expected="within a second",
    found="within a second" if longest < 1 else "later",
)
evidence.claim(
    "A scope does not turn another cancellation into a TimeoutError",
    expected="CancelledError",
    found=outcomes["cancelled_by_another_as_well"],
)
evidence.claim(
    "`asyncio.timeout` in `_astream` ends `model.astream` on time",
    expected="stopped at the deadline",
    found=alone.verdict,
)
evidence.number("tokens_after_the_caller_left", request.tokens_after_deadline)

# %%
evidence.claim(
    "The same class in a chain has no effect",
    expected="ran past the deadline",
    found=chained.verdict,
)
evidence.claim(
    "In the chain the timer cancels a task that has already finished",
    expected="already finished",
    found=scope.target(log),
)
evidence.claim(
    "Before the first chunk the same class works in a chain (on the fake)",
    expected="TimeoutError",
    found=str(first.ending),
)
evidence.claim(
    "The deadline holds in exactly those calls that one task pulls (on the fake)",
    expected="no call differs",
    found=shapes.exceptions,
)
evidence.claim(
    "The incident's function makes a task since Python 3.11, and made none before",
    expected="a task of its own, the caller's own task",
    found=", ".join(by_version.values()),
)
evidence.claim(
    "The elapsed-time fix ends the chain on time",
    expected="stopped at the deadline",
    found=fixed.verdict,
)
evidence.number("late_chain_s", fixed.recording.ended - LIMIT)

# %%
holds = [list(what).count(HOLDS) for what in zip(*found.values(), strict=True)]
evidence.claim(
    "The clock alone holds against none of the three holes (on the fake)",
    expected=0,
    found=holds[0],
)
evidence.claim(
    "A scope around each wait closes two of them (on the fake)", expected=2, found=holds[1]
)
evidence.claim("`ChatVllm` holds against all three (on the fake)", expected=3, found=holds[2])
evidence.claim(
    "Of the three classes, `ChatVllm` alone bounds `stream`, and `ainvoke` with retries (on the fake)",
    expected="ChatVllm, ChatVllm",
    found=", ".join(
        each.__name__
        for on_time in other_ways.values()
        for each, holds in zip(CLASSES, on_time, strict=True)
        if holds
    ),
)
evidence.claim(
    "With ChatVllm in the AI server the GPU server stops",
    expected="stopped generating",
    found=repaired.server,
)
evidence.claim(
    "With the middleware the GPU server stops when the caller leaves",
    expected="stopped generating",
    found=watched.server,
)
evidence.claim(
    "The test is red for attempt 1 and green for the fix",
    expected="red, green",
    found=f"{colour[tested.attempt.passed]}, {colour[tested.fix.passed]}",
)
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Write the fix for any stream, without LangChain. `Deadline(seconds).bounded(chunks)` is an async generator that passes on the
# chunks of `chunks`, and raises `TimeoutError` when a chunk arrives more than `seconds` after the first pull. It closes `chunks` with
# `aclose()` however it ends. One object may serve many calls, some of them concurrent.


# %% tags=["exercise"]
class Deadline:
    def __init__(self, seconds):
        self.seconds = seconds

    async def bounded(self, chunks):
        raise NotImplementedError  # your code


# %%
await lesson.check("1", Deadline)

# %% [markdown]
# **2.** In your service the error may be caught somewhere. What costs money is the GPU. Write a test that does not look at errors at all:
# it is red if the server still generates after the deadline. `fake_vllm.requests[0].slot_freed` is None while the fake works on the first
# request. The check writes the cell to `test_deadline.py`, in place of the test above, and runs pytest on it, so the cell must import
# everything it uses. It takes about ten seconds.


# %% tags=["exercise"]
import asyncio

import pytest
from langchain_core.prompts import ChatPromptTemplate


@pytest.mark.fake_vllm("endless")
async def test_the_gpu_is_free_after_the_deadline(model_class, fake_vllm):
    address = {"base_url": fake_vllm.base_url, "model": fake_vllm.model, "api_key": "-"}
    chain = ChatPromptTemplate.from_messages([("user", "{q}")]) | model_class(
        **address, timeout=0.5
    )
    raise NotImplementedError  # your code: read in a task, wait past the deadline, ask the fake


# %%
await lesson.check("2", test_the_gpu_is_free_after_the_deadline)

# %%
fake.close()
server.close()  # to run cells again after this one, restart the kernel
lesson.progress()

# %% [markdown]
# ## Lessons learned
#
# - `timeout=` of a chat model bounds one read of a socket. A stream that keeps sending never trips it.
# - Before its answer is complete, a vLLM server stops only when *its own* client closes the connection.
# - `asyncio.timeout` cancels the task that entered it. A LangChain chain pulls each chunk in a new task.
# - Keep a deadline in the call and look at the clock for each chunk; close the connection by a timer for everything else.
# - A test must let the model talk, and put it in a chain. A test with a server that hangs is green for the broken fix.
#
# **Next steps:** put the test into your repository; replace `ChatOpenAI` with `ChatVllm`
# (`pip install ./src/stream_deadline` in a clone of this project), or wrap what you have ([any client, any model](../docs/clients.md)); add the
# middleware to your web application. To go deeper, take [another tour](../docs/tours/half_a_day.md).
#
# ---
# Back to: [00 · Start here](00_start_here.ipynb)
