# %% [markdown]
# # 09 · ERP → AI → GPU
#
# **After this notebook you will know**
# - which web handlers notice that their caller has left, and which go on for nobody,
# - the two lines that repair all of them,
# - how a caller's deadline travels with its request, and what the caller gets when it has passed.
#
# *About 15 minutes. Needs: [01](01_the_incident.ipynb), [07](07_where_it_stops.ipynb).*
#
# Notebook 01 played the AI server in a cell. Here it is a process of its own, between a caller and the GPU server, as in the incident:
#
# ```text
#  ERP server  ──X-Timeout-Ms──▶  AI server  ──stream──▶  GPU server
#  this notebook                  FastAPI, LangChain      vLLM, or the fake
#  leaves in the middle           before / after          its metrics are the witness
# ```

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import inspect
from concurrent.futures import ThreadPoolExecutor

import httpx2
from stream_deadline import deadline, propagate_deadline
from stream_lab import Evidence, open_endpoint
from stream_lab.experiment import pictures
from stream_lab.relay import Relay, app, leave

evidence = Evidence("09")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Before, and after
#
# Both AI servers answer in five ways, with the same chain: in one body of JSON, as the incident's did; the same from a handler without
# `async`, which blocks a thread; as plain text; as Server-Sent Events by hand; and as events by sse-starlette. This is all that differs
# (`hides` is for later):

# %%
print(inspect.getsource(app.before), inspect.getsource(app.after), sep="\n")

# %%
kinds = {"before": False, "before, hiding": True, "after": True}
with ThreadPoolExecutor() as pool:
    before, hiding, after = pool.map(
        lambda kind, hides: Relay(kind.partition(",")[0], server, hides=hides),
        kinds,
        kinds.values(),
    )

# %% [markdown]
# ## The caller leaves
#
# The caller waits for a quarter of `TIMEOUT`, then closes its connection. Nobody tells the AI server anything else.
#
# **Predict first.** After which of the five does the GPU go on?

# %%
ways = {
    "one body of JSON": "/answer",
    "the same, blocking": "/blocking",
    "plain text": "/text",
    "events by hand": "/sse",
    "events, sse-starlette": "/events",
}
patience = TIMEOUT / 4


def leave_each(relay, watch):
    return {
        name: leave(relay, server, path, after=patience, watch=watch) for name, path in ways.items()
    }


broken = leave_each(before, watch=TIMEOUT / 4)
in_one_piece = ["one body of JSON", "the same, blocking"]
for name in in_one_piece:
    print(f"{name:22}", broken[name].server)

# %% tags=["nbval-ignore-output"]
for name in [way for way in ways if way not in in_one_piece]:
    print(f"{name:22}", broken[name].server)

# %% [markdown]
# A handler that collects the answer and returns it in one piece does not listen for its caller: it will notice when it has something to
# say, and nobody is there. The incident's AI server was of that kind.
#
# A `StreamingResponse` listens while it sends, and cancels the generator under it when the caller leaves. Whether the connection to the GPU
# is closed then is another question, and depends on all that lies in between: with the LangChain and OpenAI SDK of 2026 it is; with those
# of the post-mortem it stayed open, and the GPU went on.

# %%
repaired = leave_each(after, watch=TIMEOUT / 2)
for name, request in repaired.items():
    print(f"{name:22}", request.server)

# %%
pictures.left_alone(
    {
        f"{name}, {when}": request
        for name in ways
        for when, request in (("before", broken[name]), ("after", repaired[name]))
    },
    title="Repaired, the GPU stops when the caller leaves, however the answer is made",
)

# %% [markdown]
# The middleware always listens, so that no handler has to. When the caller leaves it first closes the connections of all calls that were
# made for it, those that block a thread included, and then cancels the handler.
#
# ## To ask instead
#
# Many handlers ask whether their caller is still there, between one token and the next. That works, until somebody adds a middleware
# to the application, for a log line or a header, in the usual way:
#
# ```python
# @app.middleware("http")
# async def nothing(request, call_next):
#     return await call_next(request)
# ```

# %%
handlers = inspect.getsource(app._application)
print(handlers.partition('@app.post("/polite")')[2].partition("if hides")[0].strip())

asked = {
    "before": leave(before, server, "/polite", after=patience, watch=TIMEOUT / 2),
    "before, with that middleware": leave(
        hiding, server, "/polite", after=patience, watch=TIMEOUT / 4
    ),
    "after, with that middleware": leave(
        after, server, "/polite", after=patience, watch=TIMEOUT / 2
    ),
}
for name, request in asked.items():
    print(f"{name:30}", request.server)

# %% [markdown]
# Starlette's `BaseHTTPMiddleware`, which is what that decorator makes, keeps from the handler that its caller has left. The repaired
# server has had it all along; its own middleware stands outside of it and hears first.
#
# ## The caller's deadline
#
# Better than to leave is to say beforehand when one will. The header `X-Timeout-Ms` holds the milliseconds that are left, as in gRPC: a
# duration and no time of day, so that the two clocks need not agree. A hook of the caller's HTTP client writes what is left of its own
# `deadline` there, and in the AI server it becomes the ambient `deadline` of everything the handler does.
#
# **Predict first.** What can a server tell a caller whose time is up, if nothing has been sent yet? In the middle of a stream of events?
# In the middle of a plain text?


# %%
def ask(way):
    hooks = {"request": [propagate_deadline]}
    try:
        with deadline(patience), httpx2.Client(event_hooks=hooks, trust_env=False) as client:
            answer = client.post(after.url + ways[way], json={"question": "Why?"})
    except httpx2.RemoteProtocolError:
        return "cut short, and the client sees it"
    if answer.status_code != 200:
        return f"status {answer.status_code}, {answer.json()['error']['type']}"
    return "its last event is an error" if "event: error" in answer.text else "looks whole"


told = {way: ask(way) for way in ways}
for way, words in told.items():
    print(f"{way:22}", words)

# %% [markdown]
# Whatever is said, nobody takes a half for the whole. A text that has begun has no place for an error, so the connection is closed before
# the end that HTTP promises, and every client raises.

# %% [markdown]
# ## What was shown

# %%
for way in in_one_piece:
    evidence.claim(
        f"before, {way}: the caller leaves, the GPU",
        expected="still generating",
        found=broken[way].server,
    )
for way in ways:
    evidence.claim(
        f"after, {way}: the caller leaves, the GPU", expected="stopped", found=repaired[way].server
    )
for name, expected in zip(asked, ["stopped", "still generating", "stopped"], strict=True):
    evidence.claim(
        f"a handler that asks, {name}: the GPU", expected=expected, found=asked[name].server
    )
evidence.claim(
    "a deadline that passes before the first byte is a status",
    expected="status 504, deadline_exceeded",
    found=told["one body of JSON"],
)
evidence.claim(
    "in a stream of events it is the last event",
    expected="its last event is an error",
    found=told["events by hand"],
)
evidence.claim(
    "a text that has begun is never taken for whole",
    expected="cut short, and the client sees it",
    found=told["plain text"],
)
evidence.number("tokens_for_nobody", broken["one body of JSON"].tokens)
with ThreadPoolExecutor() as pool:
    list(pool.map(Relay.close, [before, hiding, after]))
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# How many of the five requests that were left before the repair kept the GPU busy? `broken` holds them; each has `freed`, the seconds
# until the GPU was free, or None.

# %%
from stream_lab.experiment.exercise import check

kept_busy = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
check(
    kept_busy,
    sum(request.freed is None for request in broken.values()),
    hint="Count those whose `freed` is None.",
)

# %% [markdown]
# ---
# Before: [08 · A real vLLM, a real GPU](08_a_real_server.ipynb) · Next: [10 · Cut in production](10_cut_in_production.ipynb)
