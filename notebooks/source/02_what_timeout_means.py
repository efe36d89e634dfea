# %% [markdown]
# # 02 · What `timeout=45` means
#
# **After this notebook you will know**
# - which waits `ChatOpenAI(timeout=…)` bounds, and which it does not,
# - why a stream that keeps sending never trips it, and what does.
#
# *About 8 minutes. Needs: [01](01_the_incident.ipynb).*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio

from stream_lab import Call, Evidence, bundled, observe, open_endpoint, record
from stream_lab.experiment import pictures
from stream_lab.experiment.story import PlainChatVllm

evidence = Evidence("02")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Four time-outs in one number
#
# LangChain hands `timeout` to the OpenAI SDK, and the SDK hands it to its HTTP client. There, one number becomes four, and each
# bounds a single step: opening the connection, *one* read from it, *one* write, and the wait for a free connection in the pool.

# %%
import httpx2

httpx2.Timeout(TIMEOUT).as_dict()

# %% [markdown]
# There is no entry for the whole call. A read begins when the client asks the socket for bytes and ends when some arrive; then the
# next read begins, with a new `TIMEOUT` of its own.
#
# For `ainvoke` this looks like a bound on the whole call: one body comes back, after one long wait. A stream is many short waits.
#
# ## A stream that keeps sending
#
# **Predict first.** The model never stops, and a chunk comes every few milliseconds. `timeout=TIMEOUT`. When does it end?

# %%
model = PlainChatVllm(**server.settings, timeout=TIMEOUT)
endless = await observe(model.astream("Tell me everything."), deadline=TIMEOUT, server=server)
print("stream:", endless.verdict)
print("server:", endless.server)

# %% [markdown]
# ## Two streams that stop
#
# When does it fire, then? A real server does not stall on request, so this part plays on the bundled fake, whichever server you
# named above. One request stalls after five tokens: the connection stays open, and nothing comes. The other sends five tokens and
# then only *comments*, lines that keep a connection alive and that no client shows to anybody.
#
# **Predict first.** Which of the two does the read time-out end?

# %%
with bundled("finite") as fake:

    def ask(scenario):
        settings = {**fake.settings, "extra_body": {"fake_scenario": scenario}}
        stream = PlainChatVllm(**settings, timeout=TIMEOUT, max_retries=0).astream(
            "Tell me everything."
        )
        return record(stream, give_up_after=TIMEOUT + 1.5)

    recordings = await asyncio.gather(ask("stall:after=5"), ask("keep_alive:after=5"))

silence, comments = (Call(recording, TIMEOUT) for recording in recordings)
print("five tokens, then silence: ", silence.verdict)
print("five tokens, then comments:", comments.verdict)

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
# Silence is cut, though not at the deadline: the clock starts anew with the last byte, so the call takes that much longer. Comments
# are bytes too. The answer stands still, the socket does not, and the time-out sees only the socket.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "plain timeout= never cuts an endless stream",
    expected="ran past the deadline",
    found=endless.verdict,
)
evidence.claim("the server goes on generating", expected="still generating", found=endless.server)
evidence.claim(
    "it does cut a silent connection (on the fake)",
    expected="stopped by the read time-out",
    found=silence.verdict,
)
evidence.claim(
    "comments are enough to hold it off (on the fake)",
    expected="silent past the deadline",
    found=comments.verdict,
)
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# How long was the longest pause between two chunks of the endless stream, in seconds? `endless.recording.arrivals` holds the moment
# of each arrival. Compare it with `TIMEOUT`: that is the whole reason why nothing fired.

# %%
from itertools import pairwise

from stream_lab.experiment.exercise import check

longest_pause = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
expected = max(later - earlier for earlier, later in pairwise(endless.recording.arrivals))
check(
    longest_pause,
    expected,
    hint="Subtract neighbours: pairwise(arrivals) gives them two by two.",
)

# %% [markdown]
# ---
# Before: [01 · The incident](01_the_incident.ipynb) · Next: [03 · Inside `asyncio.timeout`](03_inside_asyncio_timeout.ipynb)
