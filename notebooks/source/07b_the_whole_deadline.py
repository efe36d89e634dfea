# %% [markdown]
# # 07b · The whole deadline
#
# **After this notebook you will know**
# - whether a fix in `_astream` reaches the other ways to call a model,
# - what can wake a thread that is blocked on a socket, and what cannot,
# - what a retry costs the server,
# - which of the library's bounds to set for what, for any client and any model.
#
# *About 47 minutes. Needs: [07](07_where_it_stops.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
import itertools
import socket

from langchain_core.prompts import ChatPromptTemplate
from stream_deadline import ChatVllm
from stream_lab import Call, Evidence, Lesson, bundled, open_endpoint, record, record_sync
from stream_lab.experiment.blocked_thread import blocked_until
from stream_lab.experiment.story import (
    ClockedChatVllm,
    ElapsedChatVllm,
    PerPullChatVllm,
    PlainChatVllm,
    ReaderChatVllm,
    ScopedChatVllm,
)
from stream_lab.matrix import cells, picture, side_by_side
from stream_lab.matrix.holes import BUFFERED, HOLES, SAMPLE, HoleTable, held_only_by, play_holes

evidence = Evidence("07b")
lesson = Lesson("07b")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# Notebook 07 closed three holes of the elapsed-time fix, all of them in `_astream`. Two are left, and they lie outside of it. Most of what
# follows needs a server that misbehaves on request, so it plays on the bundled fake. The deadline is `limit` again.

# %%
fake = bundled("endless", gap=0.005)
limit = max(TIMEOUT / 5, 0.4)  # seconds
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
question = "Tell me everything."


def playing(scenario):
    """Return the settings of a model whose server plays a scenario."""
    return {**fake.settings, "extra_body": {"fake_scenario": scenario}}


# %% [markdown]
# Near the end, a table and a picture compare the attempts with the library's class `ChatVllm`, on several servers. Those calls take a
# while, so they begin now, in the background.

# %%
how = {"jobs": 8, "deadline": 0.5, "lateness": 0.4}
classes = [PlainChatVllm, ScopedChatVllm, ElapsedChatVllm, ReaderChatVllm, ChatVllm]
comparison = asyncio.gather(
    asyncio.to_thread(side_by_side, classes, [*SAMPLE, BUFFERED], **how),
    asyncio.to_thread(play_holes, [PerPullChatVllm, ClockedChatVllm], **how),
)

# %% [markdown]
# ## Hole 4: a thread
#
# **What you see in production:** the asynchronous endpoints keep their deadline, and the nightly batch, which calls `model.stream()` in
# threads, hangs.
#
# Attempt 2, the elapsed-time fix, in a `for` loop, on the server that you named:

# %%
thread_prediction = lesson.predict(
    "1",
    "`for chunk in model.stream(question)` with the elapsed-time fix, on a model that babbles. What happens?",
    {
        "the fix stops it at the deadline": "stopped at the deadline",
        "it runs past the deadline": "ran past the deadline",
        "the socket's read time-out stops it": "stopped by the read time-out",
    },
)
thread_prediction

# %%
model = ElapsedChatVllm(**server.settings, timeout=1.25 * limit, stream_timeout=limit)
in_a_thread = Call(
    await asyncio.to_thread(record_sync, model.stream(question), give_up_after=1.5 * limit), limit
)

print("stream:", in_a_thread.verdict)

# %%
thread_prediction.reveal(
    in_a_thread.verdict,
    why="LangChain's `stream` calls `_stream`. The fix overrides `_astream`, which is never called here.",
)

# %% [markdown]
# The same lines in `_stream` would stop a server that talks. They would not help against one that falls silent: the thread is blocked in
# a read of the socket, where it runs no Python, and a thread cannot be cancelled. Another thread must end what it waits for.
#
# Two threads read from servers that have fallen silent. At the deadline another thread calls `close()` on the first one's response, and
# `shutdown` on the second one's socket. (The socket's own read time-out, three deadlines, frees both in the end.)


# %%
def close(response):
    response.close()


def shut_down(response):
    response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)


# %%
wake_prediction = lesson.predict(
    "2",
    "Which of the two calls wakes the thread that is blocked in a read?",
    {
        "both": "close, shutdown",
        "only `close()`": "close",
        "only `shutdown()`": "shutdown",
        "neither; it waits for the read time-out": "",
    },
)
wake_prediction

# %%
after_close, after_shutdown = await asyncio.gather(
    asyncio.to_thread(blocked_until, close, fake, limit),
    asyncio.to_thread(blocked_until, shut_down, fake, limit),
)

print("close():   ", after_close)
print("shutdown():", after_shutdown)

# %%
after = {"close": after_close, "shutdown": after_shutdown}
wake_prediction.reveal(
    ", ".join(name for name, woken in after.items() if woken == "awake at the deadline"),
    why="`close()` gives the file descriptor back, but the system keeps the connection until the read that uses it has "
    "ended. `shutdown()` ends the connection itself, so the read returns, and the server sees its client leave.",
)

# %% [markdown]
# **What closes the hole:** a watchdog. One thread of the library knows the sockets and deadlines of all synchronous calls, and sleeps
# until the next deadline is due. The HTTP client's network backend reports the socket to which each request is written, so the watchdog
# can end a call even before there is a response.

# %%
stream = ChatVllm(**playing("stall:after=5"), timeout=limit).stream(question)
watched = Call(await asyncio.to_thread(record_sync, stream, give_up_after=2 * limit), limit)

print("stream:", watched.verdict)

# %% [markdown]
# ## Hole 5: retries
#
# **What you see in production:** when the GPU is slow, it gets three times the work. Its users wait three times as long for an error.
#
# A server accepts the request, begins to generate, and sends nothing, not even headers. The model has a time-out and no other setting.
# A *generation* below is a request for which the fake's engine began to make tokens; its ledger, the list of all its requests, is the
# witness.

# %%
numbers = itertools.count()


async def once(awaitable):
    """Turn a call for a whole answer into a stream of one item."""
    yield await awaitable


async def generations(attempt, scenario, *, whole=False):
    """Make one call with a time-out and no other setting; return it with the number of its generations."""
    key = f"call{next(numbers)}"
    model = attempt(**playing(scenario), timeout=limit, default_headers={"x-request-id": key})
    stream = once(model.ainvoke(question)) if whole else (prompt | model).astream(question)
    call = Call(await record(stream, give_up_after=4 * limit + 2.5), limit)
    mine = [request for request in fake.ledger() if request["id"].endswith(f"-{key}")]
    return call, sum(request["started"] is not None for request in mine)


# %%
retry_prediction = lesson.predict(
    "3",
    "The elapsed-time fix, `timeout=limit`, and a server that sends no headers. How many generations does one call start?",
    {"one": 1, "two": 2, "three": 3},
)
retry_prediction

# %%
(retried, started), (plain, in_one_piece) = await asyncio.gather(
    generations(ElapsedChatVllm, "no_headers"),
    generations(PlainChatVllm, "endless", whole=True),
)

print("stream:     ", retried.verdict)
print("on time:    ", retried.recording.ended < 2 * limit)
print("generations:", started)

# %%
retry_prediction.reveal(
    started,
    why="`ChatOpenAI` lets the SDK retry twice. Each attempt has a time-out of its own, and a request that timed out "
    "is sent again while the server still works on it.",
)

# %% [markdown]
# The other call of that cell was `ainvoke` of the plain class, attempt 0, on a server that simply babbles:

# %%
print("ainvoke:    ", plain.verdict)
print("on time:    ", plain.recording.ended < 2 * limit)
print("generations:", in_one_piece)

# %% [markdown]
# `ainvoke` requests the answer in one piece, and not one byte of it comes before the model is done. So here the read time-out does act
# at the deadline, on a healthy server as on a silent one. Then the SDK sends the request again, twice. No attempt of ours changes
# that, because `ainvoke` calls `_agenerate`.
#
# **What closes the hole:** one deadline around all attempts. `ChatVllm` tells the SDK not to retry, and retries itself, inside that
# deadline. It never sends a request again that may have begun a generation. Only an answer that refuses the request, or a connection that
# did not carry it, shows that none has begun. A gateway's 504 shows no such thing.
#
# Here is one of its decisions. The server refuses with status 503, and asks for half a minute of patience (`Retry-After: 30`).

# %%
patience_prediction = lesson.predict(
    "4",
    "503 with `Retry-After: 30`, and a deadline of less than a second. What does `ChatVllm` do?",
    {
        "it fails at once": "at once",
        "it waits until the deadline, and fails then": "at the deadline",
        "it waits half a minute, and tries again": "later",
    },
)
patience_prediction

# %%
headless, refused, overloaded = await asyncio.gather(
    generations(ChatVllm, "no_headers"),
    generations(ChatVllm, "refuse:status=429,retry_after=0.1+endless"),
    generations(ChatVllm, "refuse:status=503,retry_after=30,times=0"),
)

failed = overloaded[0].recording.ended
patience = "at once" if failed < limit else "at the deadline" if failed < 2 * limit else "later"
print("no headers:     ", headless[0].verdict, "/ generations:", headless[1])
print("429, then talks:", refused[0].verdict, "/ generations:", refused[1])
print("503, wait 30 s: ", f"fails {patience}", "/ generations:", overloaded[1])

# %%
patience_prediction.reveal(
    patience,
    why="An attempt that would begin after the deadline cannot help, so its caller gets the server's error now.",
)

# %% [markdown]
# ## The library, one example each
#
# The models here have a generous `timeout` of 30 s, unless `timeout` is the bound to be shown. `ended_by` returns the name of the bound
# that ended a call.

# %%
from stream_deadline import StreamDeadlineExceeded


async def ended_by(call):
    """Await a call, and return the bound that ended it."""
    try:
        await call
    except StreamDeadlineExceeded as error:
        return error.bound
    return "nothing: the answer is whole"


async def read(stream):
    async for _ in stream:
        pass


# %% [markdown]
# **A budget for everything inside.** `deadline` bounds every call in a `with` block by what is left, in chains and threads too. A call
# can shorten the budget and not extend it.

# %%
from stream_deadline import deadline

babbling = ChatVllm(**playing("endless"), timeout=30)

with deadline(limit):
    budget = await ended_by((prompt | babbling).ainvoke({"question": question}))

print("ended by:", budget)

# %% [markdown]
# **Bounds for parts of a stream.** `first_chunk_timeout` measures from the start of the call to the first chunk that says something, and
# `idle_timeout` from each such chunk to the next. A thought of a reasoning model says something. A comment line does not.

# %%
mute = ChatVllm(**playing("no_first_token"), timeout=30, first_chunk_timeout=limit)
thinker = ChatVllm(
    **playing("finite:tokens=170+think:tokens=150"), timeout=30, first_chunk_timeout=limit
)
fading = ChatVllm(**playing("keep_alive:after=5"), timeout=30, idle_timeout=limit)

first, thoughts, idle = await asyncio.gather(
    *(ended_by(read(model.astream(question))) for model in (mute, thinker, fading))
)

print("no first token:        ", first)
print("thinks for a long time:", thoughts)
print("falls silent:          ", idle)

# %% [markdown]
# **Any client on httpx,** such as the SDKs of OpenAI and Anthropic, and **any chat model of LangChain:**

# %%
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from stream_deadline import bounded_client, bounded_model

client = bounded_client(AsyncOpenAI(base_url=fake.base_url, api_key="none"), timeout=limit)
messages = [{"role": "user", "content": question}]
answer = await client.chat.completions.create(model=fake.model, messages=messages, stream=True)
by_client = await ended_by(read(answer))

model = bounded_model(ChatOpenAI(**playing("endless")), timeout=limit)
by_model = await ended_by(model.ainvoke(question))

print("client:", by_client)
print("model: ", by_model)

# %% [markdown]
# **A web application.** The middleware reads how long the client will wait, and makes that the budget of everything that the request
# starts. A client that disconnects ends its calls as well.

# %%
import logging

import httpx2
from stream_deadline.asgi import DeadlineMiddleware

logging.getLogger("stream_deadline").addHandler(logging.NullHandler())  # each 504 is one log record


async def app(scope, receive, send):
    """Answer each request with what the model says."""
    answer = await babbling.ainvoke(question)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer.text.encode()})


transport = httpx2.ASGITransport(app=DeadlineMiddleware(app, default_timeout=60))
async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
    headers = {"X-Timeout-Ms": str(round(limit * 1000))}
    response = await http.get("/", headers=headers)

print("status:", response.status_code)

# %% [markdown]
# ## All of it, in one picture
#
# Five servers times four ways to call, and four things that a caller may do: 24 experiments for each class, a cell of the picture each.
# A cell *holds* if the call ends on time with a `TimeoutError`, the server is free on time, and no extra generation was started. The
# deadline is half a second.

# %%
ways_prediction = lesson.predict(
    "5",
    "Of the four ways to call, `astream`, `chain.astream`, `ainvoke` and `stream`, which hold only with `ChatVllm`?",
    {
        "`stream`": "stream",
        "`ainvoke`": "ainvoke",
        "`ainvoke` and `stream`": "ainvoke, stream",
        "`chain.astream`, `ainvoke` and `stream`": "chain.astream, ainvoke, stream",
    },
)
ways_prediction

# %%
of_classes, of_holes = await comparison
shown = {
    name: [result for result in results if result.cell is not BUFFERED]
    for name, results in of_classes.items()
}
held = {name: sum(result.holds for result in results) for name, results in shown.items()}
picture.heat_map(
    shown, title="Each attempt holds where it was tried; ChatVllm holds in all of these"
)

# %%
ways_prediction.reveal(
    ", ".join(held_only_by("ChatVllm", shown)),
    why="The attempts override `_astream`. `ainvoke` calls `_agenerate`, and `stream` calls `_stream`.",
)

# %% [markdown]
# Two results deserve a second look.
#
# - **`ainvoke` of the plain class holds nowhere,** although its time-out fires on time. That is hole 5: by then the SDK is at its second
#   attempt, and the server at its second generation.
# - **`breaks` holds for every class.** There the consumer leaves its loop after one chunk. Python then closes the generator, and that
#   closes the connection; no deadline is needed. It is in the picture so that you see one row which was never broken.

# %% [markdown]
# These 24 experiments are a sample. The whole matrix has 34 servers, 22 ways to call and 18 things that a caller may do, most of them
# once more over a connection that is already open. `stream-lab matrix` plays all of it for these classes, and
# `stream-lab matrix my_module:MyChat` for yours. [The picture in the README](../docs/matrix.png) is such a run, and
# [docs/figures.md](../docs/figures.md#the-matrix) has its counts: `ChatVllm` holds in all 1109, if the machine is quiet.

# %%
print("experiments in the whole matrix:", len(cells()))

# %% [markdown]
# ## Each hole, and what closes it
#
# The same experiments, now one for each hole. The last column is the line of the library that closes it.

# %% tags=["nbval-ignore-output"]
played = {**of_classes, **of_holes}
attempts = ["Elapsed", "PerPull", "Clocked", "Reader", ""]
table = HoleTable({f"{name}ChatVllm": played[f"{name}ChatVllm"] for name in attempts})
table

# %% [markdown]
# Attempt 2 passes the experiment about hole 2, which attempt 3 opened, because it reads the clock with every chunk. Attempts 3 to 5 end
# a stream without headers in time, because their bound is around all attempts of the SDK. None of them reaches a thread or an
# `ainvoke`.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "(4) In `model.stream()`, the elapsed-time fix lets the stream run past the deadline.",
    expected="ran past the deadline",
    found=in_a_thread.verdict,
)
evidence.claim(
    "(4) A blocked thread whose response is closed stays blocked until the read time-out.",
    expected="blocked until the read time-out",
    found=after_close,
)
evidence.claim(
    "(4) A blocked thread whose socket is shut down is awake at the deadline.",
    expected="awake at the deadline",
    found=after_shutdown,
)
evidence.claim(
    "(4) `ChatVllm.stream()` is stopped at the deadline when its server falls silent.",
    expected="stopped at the deadline",
    found=watched.verdict,
)
server.close()

# %%
evidence.claim(
    "(5) Without headers, a call with the elapsed-time fix starts three generations.",
    expected=3,
    found=started,
)
evidence.claim(
    "(5) `ainvoke` of the plain class starts three generations.", expected=3, found=in_one_piece
)
evidence.claim(
    "(5) `ChatVllm` is stopped at the deadline when no headers come.",
    expected="stopped at the deadline",
    found=headless[0].verdict,
)
evidence.claim("(5) It starts one generation for that.", expected=1, found=headless[1])
evidence.claim(
    "(5) It tries again after a refusal, and is still stopped at the deadline.",
    expected="stopped at the deadline",
    found=refused[0].verdict,
)
evidence.claim(
    "(5) It fails at once when the next attempt would begin too late.",
    expected="at once",
    found=patience,
)
fake.close()

# %%
leaves = {"Elapsed": HOLES[0], "PerPull": HOLES[2], "Clocked": HOLES[3], "Reader": HOLES[4]}
for name, hole in leaves.items():
    closed = table.holds(f"{name}ChatVllm")
    evidence.number(f"holes_{name}", len(closed))
    evidence.claim(
        f"`{name}ChatVllm` leaves hole {hole.name[0]} open.",
        expected="open",
        found="closed" if hole.name in closed else "open",
    )
evidence.claim(
    "`ChatVllm` closes every hole.",
    expected=len(HOLES),
    found=len(table.holds("ChatVllm")),
)
for name, count in held.items():
    evidence.number(f"cells_{name}", count)
    evidence.claim(
        f"Of the experiments in the picture, `{name}` holds in "
        f"{'all' if name == 'ChatVllm' else 'some'}.",
        expected="all" if name == "ChatVllm" else "some",
        found="all" if count == len(shown[name]) else "some" if count else "none",
    )
shown_by = {"`deadline`": budget, "`first_chunk_timeout`": first, "`idle_timeout`": idle}
for name, bound in shown_by.items():
    evidence.claim(f"{name} ends the call that it is for.", expected=name.strip("`"), found=bound)

# %%
evidence.claim(
    "A model that thinks first is not ended by `first_chunk_timeout`.",
    expected="nothing: the answer is whole",
    found=thoughts,
)
evidence.claim("`bounded_client` ends a request of the SDK.", expected="timeout", found=by_client)
evidence.claim("`bounded_model` ends a call of any model.", expected="timeout", found=by_model)
evidence.claim(
    "Behind the middleware, the client gets status 504 when its time is up.",
    expected=504,
    found=response.status_code,
)
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Close hole 3 for any asynchronous stream. `bounded_by_a_reader(chunks, seconds)` is an async generator that hands the chunks on,
# and whose source is closed at the deadline although no chunk is pulled. After the deadline it raises `TimeoutError` and hands nothing
# over. It leaves no task behind when its consumer breaks off. An error of the source reaches the consumer as it is, and a source that
# ends in time is handed on whole. The deadline counts from the first pull.


# %% tags=["exercise"]
async def bounded_by_a_reader(chunks, seconds):
    raise NotImplementedError  # your code: read `chunks` in a task of its own, and yield what it has read


# %%
await lesson.check("1", bounded_by_a_reader)

# %% [markdown]
# **2.** An assistant asks a model twice: for an outline, and then for the text. Its user waits `seconds` in all, however the time is
# divided between the two. Use `deadline`. `model` has `invoke`, like any model of LangChain, and no time-out of its own.


# %% tags=["exercise"]
def ask_twice(model, first, second, seconds):
    raise NotImplementedError  # your code: return both answers of model.invoke(…), as a list


# %%
await lesson.check("2", ask_twice)

# %% [markdown]
# **3.** A model has `timeout=60`, `first_chunk_timeout=10` and `idle_timeout=5`. Which of them ends each of these calls? Answer with a
# dictionary from the letter to the name of the bound, or to `"none"` if the call is not ended.
#
# - a) The server's queue is long. For 40 s nothing comes but the headers; then the answer would be there in a moment.
# - b) The answer begins after 2 s. After 20 s the model hangs, and a proxy sends a comment line each second.
# - c) The model has lost its end token and says five words a second for ten minutes.
# - d) The model thinks aloud from the first second to the thirtieth, and then writes its answer until the fiftieth.

# %% tags=["exercise"]
answer = ...  # your answer: {"a": "…", "b": "…", "c": "…", "d": "…"}

# %%
await lesson.check("3", answer)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [07 · Where it stops](07_where_it_stops.ipynb) · Next:
# [08 · A real vLLM, a real GPU](08_a_real_server.ipynb)
