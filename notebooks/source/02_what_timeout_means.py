# %% [markdown]
# # 02 · What `timeout=45` means
#
# **After this notebook you will know**
# - what `ChatOpenAI(timeout=…)` bounds, and when it fires,
# - whether it bounds `ainvoke`, which returns the whole answer at once,
# - whether `max_tokens`, `stop` or vLLM's repetition detection can replace a deadline.
#
# *About 40 minutes. Needs: [01](01_the_incident.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio

import httpx2
from stream_lab import Call, Evidence, Lesson, bundled, observe, open_endpoint, record
from stream_lab.experiment import pictures
from stream_lab.experiment.finish import how_it_ended
from stream_lab.experiment.story import PlainChatVllm

evidence = Evidence("02")
lesson = Lesson("02")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Four time-outs in one number
#
# LangChain hands `timeout` to the OpenAI SDK, and the SDK hands it to its HTTP client. (That is httpx2 here. Older versions of the SDK use
# httpx, whose time-outs work in the same way.) There, one number becomes four:

# %%
httpx2.Timeout(TIMEOUT).as_dict()

# %% [markdown]
# Each bounds one step: opening the connection, *one* read, *one* write, and the wait for a free connection in the client's pool. A read
# begins when the client asks the socket for bytes, and ends when some arrive. Then the next read begins, with a new `TIMEOUT`.
#
# ## A stream that keeps sending

# %%
endless_prediction = lesson.predict(
    "1",
    "The model never stops, and a chunk arrives every few milliseconds. timeout=TIMEOUT. When does the stream end?",
    {
        "at the deadline, with an error": "stopped at the deadline",
        "later, when the read time-out fires": "stopped by the read time-out",
        "it does not end": "ran past the deadline",
    },
)
endless_prediction

# %% [markdown]
# `observe` reads the stream and watches the server's metrics meanwhile. It leaves 1.5 s after the deadline, so that this notebook ends.

# %%
model = PlainChatVllm(**server.settings, timeout=TIMEOUT)
endless = await observe(model.astream("Tell me everything."), deadline=TIMEOUT, server=server)
print("stream:", endless.verdict)
print("server:", endless.server)

# %%
endless_prediction.reveal(
    endless.verdict,
    why="Every chunk ends a read, and the next read has a TIMEOUT of its own. No read ever takes that long.",
)

# %% [markdown]
# ## Two streams that stop sending
#
# When does it fire, then? A real server does not stall on request, so from here on the bundled fake answers, whichever server you named
# above.
#
# One request stalls after five tokens: the connection stays open, and nothing arrives any more. The other sends five tokens and then only
# *comments*. These are lines of the stream that begin with a colon. Servers and proxies send them to keep a connection alive, and clients
# skip them.

# %%
silence_prediction = lesson.predict(
    "2",
    "Which of the two streams does timeout= end?",
    {
        "both: neither brings a new token": "silence, comments",
        "only the silent one": "silence",
        "only the one with comments": "comments",
        "neither": "",
    },
)
silence_prediction

# %%
fake = bundled("finite")


def model_for(scenario, timeout=TIMEOUT, **settings):
    body = {"fake_scenario": scenario, **settings.pop("body", {})}
    return PlainChatVllm(**{**fake.settings, "extra_body": body}, timeout=timeout, **settings)


def stream_of(scenario):
    stream = model_for(scenario).astream("Tell me everything.")
    return record(stream, give_up_after=TIMEOUT + 1.5)


recordings = await asyncio.gather(
    stream_of("endless+stall:after=5"),
    stream_of("endless+keep_alive:after=5"),
)
silence, comments = (Call(recording, TIMEOUT) for recording in recordings)
print("five tokens, then silence: ", silence.verdict)
print("five tokens, then comments:", comments.verdict)

# %%
calls = {"silence": silence, "comments": comments}
silence_prediction.reveal(
    ", ".join(
        name for name, call in calls.items() if call.verdict == "stopped by the read time-out"
    ),
    why="Comments are bytes, and bytes end a read. The time-out sees the socket, and not the answer.",
)

# %%
pictures.timeline(
    {
        "tokens\nwithout end": endless,
        "tokens,\nthen silence": silence,
        "tokens,\nthen comments": comments,
    },
    title="timeout= ends a silent socket, and nothing else",
)

# %% [markdown]
# The silent stream ends, but later than the deadline: the last byte started the clock again.
#
# ## Who ends a silent read?
#
# You may read that each socket operation is a task of its own, which the time-out cancels. Let us look. The next cell sends a request to
# a server that never answers, in an event loop that runs nothing else. It counts the tasks before the request and just before the read times
# out, and shows where the error came from.


# %%
async def silent_read():
    loop = asyncio.get_running_loop()
    counts = []

    def count():
        counts.append(len(asyncio.all_tasks()))
        loop.call_later(0.05, count)

    count()
    question = {"role": "user", "content": "Hi"}
    body = {"model": fake.model, "messages": [question], "fake_scenario": "no_headers"}
    async with httpx2.AsyncClient(timeout=0.4) as client:
        try:
            await client.post(f"{fake.base_url}/chat/completions", json=body)
        except httpx2.ReadTimeout as error:
            return [counts[0], counts[-1]], error


tasks, error = await asyncio.to_thread(asyncio.run, silent_read())
causes = [error]
while cause := causes[-1].__cause__ or causes[-1].__context__:
    causes.append(cause)

print("tasks before the request, and during the read:", tasks)
print(" ← ".join(type(each).__name__ for each in causes))

# %% [markdown]
# There is one task before and during the read. (Only opening a connection may start tasks, one for each address that it tries.) Read the
# second line from its end: a timer cancels the task that waits for the bytes, so a
# `CancelledError` appears at its `await`. Around the read stands a *scope*, which turns this error into a `TimeoutError`, and the client
# gives it its own name. The scope is left before the next read. [Notebook 03](03_inside_asyncio_timeout.ipynb) takes such a scope apart.
#
# ## An answer in one piece: `ainvoke`
#
# With `ainvoke`, the server sends nothing until the answer is complete. For the client this is one long read, so `timeout` looks like a
# bound on the whole call. Three calls test that, with a shorter bound:
#
# - the model never stops, and everything else is left as it is,
# - the same with `max_retries=0`: the SDK does not send the request again after an error,
# - the answer is ready at once, but a slow line passes on one byte every 50 ms.

# %%
retry_prediction = lesson.predict(
    "3",
    "ainvoke with timeout=… on a model that never stops, with nothing else set. "
    "How many generations has the server started when the caller sees the error?",
    {"one": 1, "two": 2, "three": 3},
)
retry_prediction

# %%
BOUND = TIMEOUT / 4


async def in_one_piece(scenario, give_up_after, **settings):
    async def as_a_stream():
        yield await model_for(scenario, timeout=BOUND, **settings).ainvoke("Tell me everything.")

    return Call(await record(as_a_stream(), give_up_after=give_up_after), BOUND)


before = len(fake.ledger())  # the ledger is the fake's list of all requests
as_it_is, no_retries, slow_line = await asyncio.gather(
    in_one_piece("endless", 3 * BOUND + 5),
    in_one_piece("endless", BOUND + 1.5, max_retries=0),
    in_one_piece("finite:tokens=10+pace:first_token=1,gap=1+trickle", BOUND + 1.5, max_retries=0),
)
generations = len(fake.ledger()) - before - 2  # the other two calls send one request each
print("never stops:               ", as_it_is.verdict)
print("never stops, max_retries=0:", no_retries.verdict)
print("slow line:                 ", slow_line.verdict)

# %%
retry_prediction.reveal(
    generations,
    why="The SDK sends a request again after a time-out, twice by default (max_retries=2). "
    "Each attempt has its own time-out, and each starts a generation.",
)

# %%
pictures.timeline(
    {
        "never stops": as_it_is,
        "never stops,\nmax_retries=0": no_retries,
        "slow line,\nmax_retries=0": slow_line,
    },
    title="timeout= bounds one silent attempt of ainvoke, and not the call",
)

# %% [markdown]
# So `timeout` is a usable bound for `ainvoke` under two conditions: there are no retries, and nothing on the way sends single bytes. Even
# then, the error is not a `TimeoutError`, as the next cell shows. Code that catches `TimeoutError` does not catch it. [Notebook
# 07](07_where_it_stops.ipynb) tries plain `ainvoke` on five servers. It fails on all of them, because the retries make each call too long.

# %%
import openai

print("is it a TimeoutError?", issubclass(openai.APITimeoutError, TimeoutError))

# %% [markdown]
# ## Why not `max_tokens`?
#
# A model that babbles makes too many tokens, so why not limit the tokens? Everyone should, and vLLM has more brakes of that kind:
#
# | brake | what it counts |
# |---|---|
# | `max_tokens=12` | the tokens of the answer |
# | `stop=["END"]` | nothing: the model has to write the text |
# | `repetition_detection` | how often a pattern of tokens repeats at the end of the answer (vLLM 0.17 and later, in `extra_body`) |

# %%
tokens_prediction = lesson.predict(
    "4",
    "max_tokens=12 and timeout=TIMEOUT, on a busy server that needs TIMEOUT / 2 for each token. When does the stream end?",
    {
        "before the deadline, after twelve tokens": "finish_reason=length",
        "when the read time-out fires": "stopped by the read time-out",
        "it runs past the deadline": "ran past the deadline",
    },
)
tokens_prediction

# %%
slowly = f"pace:gap={TIMEOUT * 500:.0f}"  # milliseconds a token: half of TIMEOUT
repeats = {"repetition_detection": {"max_pattern_size": 8, "min_count": 4}}
trials = {
    "max_tokens, a quick server": model_for("endless", max_tokens=12),
    "max_tokens, a busy server": model_for(f"endless+{slowly}", max_tokens=12),
    "max_tokens, comments only": model_for("endless+keep_alive:after=5", max_tokens=12),
    "stop, the model writes it": model_for("repeat:phrase=the END ", stop=["END"]),
    "stop, the model does not": model_for("endless", stop=["END"]),
    "repetition, in a loop": model_for("repeat", body=repeats),
    "repetition, no loop": model_for("endless", body=repeats),
}
streams = [each.astream("Tell me everything.") for each in trials.values()]
endings = await asyncio.gather(*(how_it_ended(stream, deadline=TIMEOUT) for stream in streams))
ended = dict(zip(trials, endings, strict=True))
for name, ending in ended.items():
    print(f"{name:27} {ending}")

# %%
tokens_prediction.reveal(
    ended["max_tokens, a busy server"],
    why="Twelve tokens are twelve tokens, however long each takes, and no single wait is as long as TIMEOUT.",
)

# %% [markdown]
# Each brake stops one kind of babbling, and none knows the time. How long twelve tokens take depends on the server's load. A stream of
# comments contains no tokens. A model that babbles without repeating itself triggers neither of the other two. (`frequency_penalty` and
# `repetition_penalty` are not brakes: they make some tokens less likely and end nothing.)
#
# Brakes also cut the answer. `finish_reason` says so: `stop` means that the answer is complete, or that a stop string came; `length` and
# `repetition` mean that it is not complete. So use brakes *and* a deadline: the brakes keep the cost of one answer down, and the deadline
# keeps the promise to the caller.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "Plain timeout= does not end a stream that keeps sending",
    expected="ran past the deadline",
    found=endless.verdict,
)
evidence.claim(
    "The server goes on generating",
    expected="still generating",
    found=endless.server,
)
evidence.claim(
    "Plain timeout= ends a stream that has gone silent (on the fake)",
    expected="stopped by the read time-out",
    found=silence.verdict,
)
evidence.claim(
    "Comments are enough to keep timeout= from firing (on the fake)",
    expected="silent past the deadline",
    found=comments.verdict,
)
evidence.claim("A read time-out needs no second task", expected=[1, 1], found=tasks)

# %%
evidence.claim(
    "With its default retries, ainvoke starts three generations before it fails (on the fake)",
    expected=3,
    found=generations,
)
evidence.claim(
    "A slow line keeps ainvoke from ending (on the fake)",
    expected="silent past the deadline",
    found=slow_line.verdict,
)
evidence.claim(
    "With max_tokens, a busy server runs past the deadline (on the fake)",
    expected="ran past the deadline",
    found=ended["max_tokens, a busy server"],
)
evidence.claim(
    "Repetition detection ends a loop (on the fake)",
    expected="finish_reason=repetition",
    found=ended["repetition, in a loop"],
)
fake.close()
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1. The longest call.** A service has `timeout=45` and `max_tokens=1000`. Its stream contains no comments, and each chunk holds one token.
# How long can such a call take in the worst case before one of the two ends it? Answer in hours.

# %% tags=["exercise"]
hours = ...

# %%
await lesson.check("1", hours)

# %% [markdown]
# **2. A bound that holds.** Write a function that returns the model's whole answer, or raises `TimeoutError` after at most `seconds`,
# whatever the server and its line do. The call must not go on after that. `model` is any chat model; use its `ainvoke`.


# %% tags=["exercise"]
async def answer_within(model, question, seconds):
    raise NotImplementedError  # your code


# %%
await lesson.check("2", answer_within)

# %% [markdown]
# **3. Is it whole?** Write a function that tells whether an answer is complete. `message` is what `ainvoke` returns; its
# `response_metadata` is a dictionary with the `finish_reason`, if there is one. Think of what a brake, a server that shuts down (`abort`) and a
# gateway that leaves the field out would do. An answer that asks for a tool ends with `tool_calls`.


# %% tags=["exercise"]
def is_whole(message):
    # True or False
    raise NotImplementedError  # your code


# %%
await lesson.check("3", is_whole)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [01 · The incident](01_the_incident.ipynb) · Next: [03 · Inside `asyncio.timeout`](03_inside_asyncio_timeout.ipynb)
