# %% [markdown]
# # 15 · Who stops a babbling model
#
# **After this notebook you will know**
# - whether the time-out of your SDK or framework stops a model that never stops, and which behaviours of a server it does stop,
# - what the settings that work have in common,
# - how to put the question to a client of your own,
# - what to set in yours.
#
# *About 32 minutes. Needs: [02](02_what_timeout_means.ipynb) and [14](14_the_atlas_of_timeouts.ipynb).*
#
# So far we have looked at LangChain, and at a few SDKs along the way. Are other libraries better? This notebook asks the same of 28 SDKs and agent
# frameworks for Python and JavaScript. A call has T = 1.5 s. Does it end by then, is the server free by then, and was the model asked only once?

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
from openai import AsyncOpenAI, OpenAI
from stream_deadline import bounded_client
from stream_lab import Evidence, Lesson, observe, open_endpoint
from stream_lab.frameworks import browse
from stream_lab.frameworks.here import SLACK, play_here, try_player
from stream_lab.frameworks.picture import draw
from stream_lab.frameworks.playing import Watch
from stream_lab.frameworks.results import recorded

evidence, lesson = Evidence("15"), Lesson("15")
server = open_endpoint(BASE_URL, MODEL)
results = recorded()
server

# %% [markdown]
# ## The survey
#
# Installing 28 frameworks takes a quarter of an hour, so they were played once and the results are a file of the project. `make frameworks` plays
# them again, each in an environment of its own with the newest versions of that day. [docs/frameworks.md](../docs/frameworks.md) is made from the
# same file. Frameworks change: look at the date before you quote a row.

# %% tags=["nbval-ignore-output"]
print(f"played on {results.day}, {len(results.rows)} frameworks, T = {results.watch.timeout:g} s")

# %% [markdown]
# The server of each cell plays one of five behaviours:
#
# - **endless**: the model never stops.
# - **stall**: two tokens come, then nothing.
# - **keep-alive**: two tokens come, then only comment lines, which carry no text.
# - **no headers**: the server works on the request and never sends a byte.
# - **suspended**: the model never stops, and the consumer takes one chunk and then does not ask for more.
#
# A cell **holds** if the call ended by T, the server was free by T, and one generation was started. A generation is one run of the model for one
# request. When it began and ended is read from the server's ledger, its own list of requests, and not from the client.

# %%
endless_prediction = lesson.predict(
    "1",
    "Each framework has its usual time-out set to T, such as OpenAI(timeout=T). "
    "The model never stops. In how many of them does the cell hold?",
    {
        "in all or most": "most",
        "in about half": "about half",
        "in a few": "few",
        "in none": "none",
    },
)
endless_prediction

# %%
stopped, total = browse.held(results, "natural", "endless")
print(f"endless: {stopped} of {total} usual time-outs hold")

# %%
endless_prediction.reveal(
    browse.share(stopped, total),
    why="A usual time-out bounds the wait for the next bytes, and with an endless model they come.",
)

# %%
behaviour_prediction = lesson.predict(
    "2",
    "Which of the five behaviours do the usual time-outs deal with best?",
    {
        "stall": "stall",
        "keep-alive": "keep-alive",
        "no headers": "no headers",
        "suspended": "suspended",
    },
)
behaviour_prediction

# %%
draw(results.rows, results.watch.timeout)

# %%
behaviour_prediction.reveal(
    browse.best(results, "natural"),
    why="It is the one silence that a socket's time-out sees. A comment line is a byte that "
    "arrives, and a consumer that does not ask does not wait on a socket.",
)

# %% [markdown]
# The middle panel is what a few frameworks offer in addition: a total deadline of their own, under another name than `timeout`. The right panel is
# the same calls with `stream_deadline`, which exists for Python only.
#
# ## Played again, here
#
# Results in a file can be out of date. Two frameworks of the table are installed with this notebook: OpenAI's SDK and LangChain. The next cells play them
# again, with the same players and the same judge, against the bundled fake, whose ledger the judge reads.
#
# In the picture, *no headers* does not hold for OpenAI's SDK, although that silence is one that a socket's time-out can see.

# %%
silence_prediction = lesson.predict(
    "3",
    "AsyncOpenAI(timeout=T), and a server that works on the request and sends nothing. "
    "What happens?",
    {
        "the call waits for ever, since the time-out starts with the first byte": "running",
        "the call ends at T with an error, but the server goes on": "busy",
        "the call ends much later, and the model has worked on several requests": "again",
        "the call ends before T": "early",
    },
)
silence_prediction

# %%
behaviours = ["endless", "stall", "no-headers"]
watch = Watch(timeout=TIMEOUT, length=2 * TIMEOUT + 1.5)
played = play_here(["openai-sdk-async", "langchain"], "timeout", behaviours, watch)
comparison, same = browse.compare(results, played, TIMEOUT, SLACK)
comparison

# %%
silence_prediction.reveal(
    browse.mark(played["openai-sdk-async"], "timeout", "no-headers", TIMEOUT, SLACK),
    why="The SDK retries twice by default, and each retry starts another generation. The caller "
    "waits three times T for one question.",
)

# %% [markdown]
# The versions need not be the same. If a cell differs, look at them first.

# %% tags=["nbval-ignore-output"]
browse.versions(results, played)

# %% [markdown]
# ## Look up yours
#
# In a copy of the course (`make learn`), the cell is a form that filters by language and by the way in which the time-out is set. Here it shows
# the usual time-outs. *Runs on*: the call had not ended after 8 s. *Again*: the model was asked more than once. *Busy*: the call ended, and the
# server worked on. *Early*: the call ended before T, for another reason. *No error*: half an answer looks like a whole one.

# %%
browse.explore(results, live=lesson.interactive)

# %% [markdown]
# ## What the winners do right
#
# These are the settings of frameworks that hold in every cell:

# %%
browse.always(results)

# %% [markdown]
# They have three things in common.
#
# 1. **They bound the call and not a read.** One clock starts with the call, and no byte starts it again.
# 2. **The clock runs beside the consumer.** A timer or an `AbortSignal` fires while the consumer does something else, so a suspended consumer holds
#    no server.
# 3. **They close the connection.** That is how the server learns that it can stop.
#
# The last column says what they leave to you. Two of them end the stream without an error, so the caller takes half an answer for a whole one.
# Others bound a node or one call of a model, and a chain of those takes the sum.
#
# ## What to set in yours
#
# - If your framework is in the table above, set that knob, and read its last column.
# - If it takes an HTTP client (`http_client=`, `http_async_client=`), give it one from `bounded_client(client, T)`.
#   [docs/frameworks.md](../docs/frameworks.md) has the argument for each.
# - If only the caller knows the time, give the framework a bounded client without a time of its own, and hold `with deadline(T):` around the call.
# - Set `max_retries=0`, or a budget that includes the retries. A time-out that is retried twice is three time-outs.
#
# On your own server, or here on the fake: OpenAI's SDK with a bounded client.

# %%
request = dict(server.settings)
key = request.pop("api_key").get_secret_value()
client = bounded_client(AsyncOpenAI(base_url=request.pop("base_url"), api_key=key), TIMEOUT)


async def answer():
    question = [{"role": "user", "content": "Why?"}]
    stream = await client.chat.completions.create(messages=question, stream=True, **request)
    async for chunk in stream:
        yield chunk


call = await observe(answer(), deadline=TIMEOUT, server=server)
print("the call:", call.verdict)
print("the server:", call.server)

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "No usual time-out of the survey stops a model that never stops.",
    expected="none",
    found=browse.share(stopped, total),
)
evidence.claim(
    "The usual time-outs are made for a server that stalls.",
    expected="stall",
    found=browse.best(results, "natural"),
)
evidence.claim(
    "Played here, every cell comes out as it was recorded.",
    expected="the same",
    found="the same" if same else "different",
)
evidence.claim(
    "A bounded client of OpenAI's SDK ends its call on time.",
    expected="stopped at the deadline",
    found=call.verdict,
)
evidence.claim(
    "The server of that call is free by then.", expected="stopped generating", found=call.server
)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Write a *player* for a client that is not in the table: `urllib.request` of the standard library, `http.client`, `aiohttp`, or your own. A
# player is a function that gets a cell, makes a client, and returns a function that asks once:
#
# - `cell.base_url` is the address, which ends in /v1; the model is `fake-model`, the key `none`.
# - `cell.timeout` is T in seconds. Set the usual time-out of your client to it.
# - The inner function takes no arguments, asks for a *streamed* chat completion, and returns an iterator of what arrives. (If `prepare` is an
#   `async def`, an asynchronous iterator.)
#
# The judge plays it against an endless model and against a stall. A right player streams, asks once, and gives up the stall after T. What it does
# about the endless model is what you find out: `try_player(prepare, ["endless"])`.


# %% tags=["exercise"]
def prepare(cell):
    raise NotImplementedError  # your code: make a client, and return a function that asks once


# %%
await lesson.check("1", prepare, try_player)

# %% [markdown]
# **2.** Here is a player that does not stop. Write one of the same client that does: whatever the server plays and whatever the consumer does, the
# call ends by `cell.timeout` with an error, and the server is free. `bounded_client` is imported.


# %%
def prepare_babbling(cell):
    client = OpenAI(base_url=cell.base_url, api_key="none", timeout=cell.timeout)
    messages = [{"role": "user", "content": "Why?"}]
    return lambda: client.chat.completions.create(
        model="fake-model", messages=messages, stream=True
    )


# %% tags=["exercise"]
def prepare_bounded(cell):
    raise NotImplementedError  # your code


# %%
await lesson.check("2", prepare_bounded, try_player)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [14 · The atlas of time-outs](14_the_atlas_of_timeouts.ipynb) · Next: [16 · Capstone: repair a relay](16_repair_a_relay.ipynb)
